"""A guest's network device on a TAP, whole: frontend, rings, backend, and the kernel's answers."""

from typing import Any

import pytest

from pvdrivers.testing.vnif.loopback import VnifLoopback
from pvdrivers.vnif.packet import GsoType, Packet

scapy = pytest.importorskip("scapy.all")

HOST, GUEST = "02:00:00:00:00:01", "02:00:00:00:00:02"


@pytest.mark.parametrize("mode", ["loop", "threads"])
def test_ping(mode: str, namespace: Any, open_tap: Any) -> None:
    tap = open_tap(namespace, "vif1.0", queues=2)
    namespace.run(f"ip link set vif1.0 address {HOST}")
    namespace.run("ip addr add 192.0.2.1/24 dev vif1.0")

    async def scenario(frontend: Any) -> list[bytes]:
        await frontend.connected()
        namespace.run("ip link set vif1.0 up")  # now: the kernel learns of a carrier a while after
        namespace.run(f"ip neigh add 192.0.2.2 lladdr {GUEST} dev vif1.0")
        answers: dict[int, bytes] = {}
        for number in range(50):
            echo = (
                scapy.Ether(src=GUEST, dst=HOST)
                / scapy.IP(src="192.0.2.2", dst="192.0.2.1")
                / scapy.ICMP(id=1, seq=number)
                / bytes([number] * 1000)
            )
            await frontend.send([Packet(bytes(echo))])
        while len(answers) < 50:
            for packet in await frontend.receive(64):
                frame = scapy.Ether(packet.data)
                assert packet.gso_type == GsoType.NONE
                if scapy.ICMP in frame and frame[scapy.ICMP].type == 0:
                    answers[frame[scapy.ICMP].seq] = bytes(frame[scapy.ICMP].payload)
        return [answers[number] for number in range(50)]

    with VnifLoopback(lambda: tap, mode=mode) as loopback:
        assert loopback.run(scenario) == [bytes([number] * 1000) for number in range(50)]
