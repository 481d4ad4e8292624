"""What a network backend drops is in a capture, with the reason, as Wireshark's tools read it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pvdrivers.backends.uplinks.filters import Direction, PacketLoss
from pvdrivers.backends.uplinks.pcapng import Capture, CaptureUplink, ReplayUplink
from pvdrivers.backends.uplinks.pcapng_file import read_pcapng
from pvdrivers.backends.uplinks.uplink import HairpinUplink, Uplink
from pvdrivers.backends.vnif.device import VnifBackendOptions
from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.sim import Machine
from pvdrivers.testing.vnif.frames import frame
from pvdrivers.testing.vnif.pair import VnifPair
from pvdrivers.xenbus.states import XenbusState

FIELDS = ("frame.packet_flags_direction", "frame.len", "frame.cap_len", "frame.comment")
SENT, RECEIVED = "0x00000002", "0x00000001"
MORE, EXTRA = 4, 8  # flags of a tx slot
GSO = bytes.fromhex("0100 e803 01000000") + bytes(4)  # an extra info: TCP over IPv4, 1000 bytes
NO_TCP = "a packet to be cut up is not TCP of its kind"
GROUP = bytes.fromhex("01005e000001")


def slot(gref: int, size: int, flags: int = 0, offset: int = 0) -> bytes:
    return struct.pack("<IHHHH", gref, offset, flags, 0, size)


def with_few_buffers(*where: Any) -> VnifFrontend:
    frontend = VnifFrontend(*where)
    frontend.rx_buffers = 64
    return frontend


async def capture(
    path: Path,
    scenario: Callable[[VnifPair], Any],
    put_on: Callable[[Uplink], Uplink] = lambda uplink: uplink,
    **options: Any,
) -> None:
    with Machine() as machine, Capture(path) as into:
        dom0, guest = machine.create_domain(privileged=True), machine.create_domain()
        with put_on(CaptureUplink(into, HairpinUplink(), "vif1.0")) as uplink:
            pair = VnifPair(
                dom0.hypervisor,
                guest.hypervisor,
                uplink,
                options=VnifBackendOptions(**options),
                frontend=with_few_buffers,
            )
            async with asyncio.timeout(60), pair:
                await scenario(pair)


def below_a_filter(uplink: Uplink) -> Uplink:
    return PacketLoss(uplink, seed=1, probability=0, direction=Direction.BOTH)


async def send_bad_packets(pair: VnifPair) -> None:
    ref = int(await pair.toolstack.read(f"{pair.config.frontend_path}/tx-ring-ref"))
    slots = [
        slot(8, 13),
        slot(8, 100, MORE) + slot(8, 101),
        slot(60000, 60),
        slot(ref, 60, EXTRA) + GSO,  # the ring itself is no TCP packet
        slot(8, 64, offset=4096),
    ]
    written = b"".join(slots)
    put = pair.backend.hypervisor.copy_to_grant
    put(pair.backend.peer_domid, ref, 64, written)
    put(pair.backend.peer_domid, ref, 0, (len(written) // 12).to_bytes(4, "little"))
    pair.frontend.channels.notify(pair.frontend.queues[0].port)
    await pair.backend.wait_for(XenbusState.CLOSING, XenbusState.CLOSED)


def test_what_a_guest_sends_in_vain(tmp_path: Path, tshark: Any) -> None:
    """Bytes that were read are in the file, and of all others the length that they were said to
    have."""
    path = tmp_path / "tx.pcapng"
    asyncio.run(capture(path, send_bad_packets))
    rows = sorted(tshark(path, *FIELDS))
    assert rows == sorted(
        [
            [SENT, "13", "0", "dropped: a packet has no room for an Ethernet header"],
            [SENT, "100", "0", "dropped: a slot is larger than what is left of its packet"],
            [SENT, "60", "0", "dropped: a slot's page cannot be read"],
            [SENT, "60", "60", f"gso_type 1, gso_size 1000,dropped: {NO_TCP}"],
            [SENT, "64", "0", "dropped: a slot's data leave its page"],
        ]
    )
    assert all(packet.dropped for packet in read_pcapng(path))
    assert b"dropped by the backend: 5, by the uplink: 0 tx, 0 rx" in path.read_bytes()


async def receive_nothing(pair: VnifPair) -> None:
    """A multicast of a group that it has not joined, and more than its ring has buffers for."""
    await pair.toolstack.write(f"{pair.config.frontend_path}/request-multicast-control", "1")
    await pair.frontend.send([frame(1)])
    while pair.backend.statistics()["rx_filtered"] == 0:
        await pair.frontend.send([GROUP + frame(2)[6:]])
        await asyncio.sleep(0.001)
    for queue in pair.frontend.packet_queues:
        queue.poll = lambda budget: 0  # it posts no buffers any more
        queue.arm = lambda: False
    await pair.frontend.send([frame(number, 9000) for number in range(30)])
    await pair.wait(lambda: pair.backend.statistics()["rx_dropped"])


def test_what_a_guest_does_not_take(tmp_path: Path, tshark: Any) -> None:
    """It is there as received, and again as dropped; below a filter too. A replay gives it once."""
    path = tmp_path / "rx.pcapng"
    asyncio.run(capture(path, receive_nothing, below_a_filter, rx_drain_ms=1))
    rows = tshark(path, *FIELDS)
    filtered = "dropped: the guest has not joined this multicast group"
    for said in (filtered, "dropped: the guest posted no buffers in time"):
        lost = [row for row in rows if row[3] == said]
        assert lost
        assert all(row[0] == RECEIVED and row[1] == row[2] for row in lost)
    received = [row for row in rows if row[0] == RECEIVED and not row[3]]
    with ReplayUplink(path) as replay:
        assert replay.packets == len(received)
