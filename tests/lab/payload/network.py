"""A bridge in dom0, and what is sent between it and the guest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from addresses import FAMILIES, UDP_PORT, Family
from guest import GuestShell
from serve import Lab
from step import GUEST, MEBIBYTE, XL, command

BRIDGE = "lab0"
JUMBO = 9000
PATIENCE = 240  # seconds, for what the guest does
CONTENT_PORT = 7007
CONTENT = 512 << 10  # bytes
MSS = 1460  # bytes of a segment at most, with an MTU of 1500
GUEST_PATH = f"/local/domain/{GUEST}/device/vif"
FRONTEND = "/modules/*-xen-netfront.ko"


ADDRESSES = tuple(f"{family.guest}/{family.prefix}" for family in FAMILIES)


class SendBack(asyncio.DatagramProtocol):
    """Sends each datagram back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's is no subclass

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._transport.sendto(data, address)


@asynccontextmanager
async def servers() -> AsyncIterator[None]:
    """What the checks talk to in dom0, for the time of a block."""
    silent = asyncio.subprocess.DEVNULL
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        words = ("iperf3", "--server")
        iperf = await asyncio.create_subprocess_exec(*words, stdout=silent, stderr=silent)
        stack.push_async_callback(iperf.wait)
        stack.callback(iperf.terminate)
        for family in FAMILIES:
            address = (family.dom0, UDP_PORT)
            udp, _ = await loop.create_datagram_endpoint(SendBack, local_addr=address)
            stack.callback(udp.close)
        yield


@asynccontextmanager
async def bridge(mtu: int = 1500) -> AsyncIterator[None]:
    """A bridge with dom0's addresses, and the servers, for the time of a block."""
    await command("modprobe", "bridge")
    await command("ip", "link", "add", BRIDGE, "mtu", str(mtu), "type", "bridge")
    for family in FAMILIES:
        # Without a port there is nobody who could have the address too.
        words = f"ip -{family.version} addr add {family.dom0}/{family.prefix} dev {BRIDGE}"
        await command(*words.split(), *(["nodad"] if family.version == 6 else []))
    await command("ip", "link", "set", BRIDGE, "up")
    async with servers():
        yield
    await command("ip", "link", "delete", BRIDGE)


class Traffic:
    """What a guest's interface, with the guest's addresses, sends and receives; `port` is the
    interface in dom0 that it comes to."""

    def __init__(self, shell: GuestShell, port: str = "vif1.0") -> None:
        self.shell = shell
        self.name = "eth0"
        self.port = port

    async def configure(self, mtu: int = 1500, addresses: Sequence[str] = ADDRESSES) -> None:
        """Waits for the interface, gives it addresses and brings it up."""
        shell, name = self.shell, self.name
        await shell.wait_for(f"test -e /sys/class/net/{name}")
        await shell.run(
            f"echo 0 >/proc/sys/net/ipv6/conf/{name}/accept_dad; ip link set {name} mtu {mtu} up"
        )
        for address in addresses:
            await shell.run(f"ip addr add {address} dev {name}")
        await shell.wait_for(f"test $(cat /sys/class/net/{name}/carrier) = 1")

    async def ping(self, family: Family, size: int = 56) -> None:
        """Three answers each way; with IPv4 more than the MTU goes in fragments, as with IPv6."""
        words = f"ping -{family.version} -A -q -c 3 -w 60 -s {size}"
        await command(*words.split(), family.guest)
        said = await self.shell.run(f"{words} {family.dom0}", PATIENCE)
        assert "3 packets received" in said, said

    def came(self) -> int:
        """How many packets dom0 has had of the guest."""
        return int(Path(f"/sys/class/net/{self.port}/statistics/rx_packets").read_text())

    async def content(self, family: Family, cut: bool | None = None) -> None:
        """Random bytes over TCP to dom0 and back. They must come as packets of several segments
        each, unless the guest's kernel has `cut` them, for want of an offload. None: how they come
        is not looked at, since others send too."""
        packets = -self.came()

        async def send_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal packets
            sent = await reader.read()
            packets += self.came()
            writer.write(sent)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(send_back, family.dom0, CONTENT_PORT):
            await self.shell.run(
                f"dd if=/dev/urandom of=/tmp/sent bs=1k count={CONTENT // 1024} 2>/dev/null;"
                f" nc {family.dom0} {CONTENT_PORT} </tmp/sent >/tmp/back;"
                " cmp /tmp/sent /tmp/back && rm /tmp/sent /tmp/back",
                PATIENCE,
            )
        print(f"    IPv{family.version}: {CONTENT} bytes in {packets} packets", flush=True)
        assert cut is None or cut == (packets >= CONTENT // MSS), packets

    async def iperf(self, family: Family, arguments: str) -> Any:
        """The results of iperf3, whose client is in the guest."""
        line = f"iperf3 --json --interval 0 --client {family.dom0} {arguments}"
        return json.loads(await self.shell.run(line, PATIENCE))["end"]

    async def verify(self) -> None:
        """ICMP, whole and in fragments, and TCP, with both families."""
        for family in FAMILIES:
            await self.ping(family)
            await self.ping(family, 4000)
            await self.content(family)

    async def bulk(self, mebibytes: int = 4) -> None:
        """iperf3 with TCP both ways and UDP from the guest, with both families."""
        for family in FAMILIES:
            said = []
            for arguments in ("", "--reverse"):
                end = await self.iperf(family, f"--bytes {mebibytes}M {arguments}")
                assert end["sum_sent"]["bytes"] >= mebibytes * MEBIBYTE, end
                said.append(end["sum_received"]["bits_per_second"] / 1e6)
            udp = (await self.iperf(family, "--udp --bitrate 1M --bytes 64K --length 1400"))["sum"]
            assert udp["lost_packets"] < udp["packets"], udp
            print(
                f"    IPv{family.version}: {said[0]:.0f} Mbit/s from the guest, {said[1]:.0f}"
                f" to it; UDP {udp['packets']} packets, {udp['lost_packets']} lost",
                flush=True,
            )

    async def without(self, cut: Container[int], *features: str) -> None:
        """Traffic while the guest's interface lacks some of what ethtool can turn off, for which
        its kernel cuts TCP of these versions of IP itself."""
        for value in ("off", "on"):
            settings = " ".join(f"{feature} {value}" for feature in features)
            await self.shell.run(f"ethtool -K {self.name} {settings}")
            if value == "off":
                shown = await self.shell.run(f"ethtool -k {self.name}")
                assert all(f"{feature}: off" in shown for feature in features), shown
                for family in FAMILIES:
                    await self.ping(family, 4000)
                    await self.content(family, cut=family.version in cut)


async def attach(lab: Lab, *words: str, mtu: int = 1500) -> Traffic:
    """Gives the guest an interface on the bridge by xl."""
    await command(XL, "network-attach", str(GUEST), f"bridge={BRIDGE}", *words)
    traffic = Traffic(lab.shell)
    await traffic.configure(mtu)
    return traffic


@asynccontextmanager
async def attached(lab: Lab, *words: str, mtu: int = 1500) -> AsyncIterator[Traffic]:
    """An interface that xl attaches, and detaches again."""
    traffic = await attach(lab, *words, mtu=mtu)
    yield traffic
    await command(XL, "network-detach", str(GUEST), "0")
    await lab.shell.wait_for(f"! test -e /sys/class/net/{traffic.name}")
