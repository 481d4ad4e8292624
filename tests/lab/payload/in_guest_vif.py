"""In the guest: our network frontend over gntalloc, against whatever serves its vif.

Usage: in_guest_vif.py DEVID QUEUES

Answers ARP and pings throughout, and prints lines of JSON about what dom0's kernel made of what was
sent. Ends when the vif is taken away.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress

from frames import Station, toeplitz

from pvdrivers import native
from pvdrivers.frontends.vnif.control import HashSettings
from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.vnif.features import FrontendFeatures
from pvdrivers.vnif.packet import GsoType, HashAlgorithm, Packet
from pvdrivers.xenbus.states import XenbusState

PATIENCE = 240  # seconds
MSS = 1400
GSO_BYTES = 16 << 10
ATTEMPTS = 20


def say(**values: object) -> None:
    print(json.dumps(values), flush=True)


class Guest:
    """Our frontend as a host of the network."""

    def __init__(self, frontend: VnifFrontend, station: Station) -> None:
        self.frontend = frontend
        self.station = station
        self._came: asyncio.Queue[Packet] = asyncio.Queue()

    async def receive(self) -> None:
        """What asks is answered, all else is for `ask`."""
        while True:
            for packet in await self.frontend.receive():
                if answer := self.station.answer(packet.data):
                    await self.frontend.send([answer])
                else:
                    self._came.put_nowait(packet)

    async def ask(self, *packets: Packet) -> Packet:
        """The answer to the packets; they are sent again when none comes, as a network may drop."""
        for _ in range(ATTEMPTS):
            await self.frontend.send(packets)
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    while True:
                        packet = await self._came.get()
                        if self.station.is_answer(packet.data, packets[0].data):
                            return packet
        raise AssertionError(f"no answer to {packets[0].data[:64].hex()}")


async def offloads(guest: Guest, version: int) -> None:
    """Checksums left blank both ways, and a packet that dom0's kernel has to take as ten."""
    station = guest.station
    blank = 0
    for port in range(5000, 5016):
        datagram = station.udp(version, port, os.urandom(port - 4000))
        answer = await guest.ask(Packet(datagram, csum_blank=True))
        assert station.payload(answer.data) == station.payload(datagram)
        blank += answer.csum_blank
    gso = GsoType.TCPV4 if version == 4 else GsoType.TCPV6
    segment = station.tcp(version, 5000, bytes(GSO_BYTES))
    reset = await guest.ask(Packet(segment, csum_blank=True, gso_type=gso, gso_size=MSS))
    acknowledged = station.acknowledged(reset.data)
    assert acknowledged == GSO_BYTES
    say(version=version, blank=blank, of=16, acknowledged=acknowledged)


async def hashed(guest: Guest) -> None:
    """The backend tells each packet's hash, with our key."""
    key = os.urandom(40)
    await guest.frontend.set_hash(HashSettings(key, mapping=(1, 0) * 32))
    for version in (4, 6):
        answer = await guest.ask(Packet(guest.station.udp(version, 5000, b"x"), csum_blank=True))
        assert answer.hash_algorithm is HashAlgorithm.TOEPLITZ, answer
        assert answer.hash == toeplitz(key, guest.station.addresses_of(answer.data)), answer
    say(hashed=True)


async def main(devid: str, queues: str) -> None:
    async with await native.connect_store() as store:
        domid = await store.read_str("domid")
        with await native.open_hypervisor(store) as hypervisor:
            path = f"/local/domain/{domid}/device/vif/{devid}"
            features = FrontendFeatures(max_queues=int(queues))
            frontend = VnifFrontend(store, path, hypervisor, features)
            frontend.start()
            try:
                async with asyncio.timeout(PATIENCE):
                    info = await frontend.connected()
                    guest = Guest(frontend, Station(info.mac))
                    receiving = asyncio.ensure_future(guest.receive())
                    answer = await guest.ask(Packet(guest.station.who_has()))
                    guest.station.peer = answer.data[6:12]
                    say(agreement=frontend.describe())
                    for version in (4, 6):
                        await offloads(guest, version)
                    if int(queues) > 1:  # Linux hashes only to choose a queue
                        await hashed(guest)
                    say(statistics=frontend.statistics())
                    # OSError: an answer was on its way when the vif was taken away.
                    with suppress(PeerError, UsageError, OSError):
                        await receiving
            finally:
                await frontend.abort()
            assert frontend.is_gone or frontend.state is XenbusState.CLOSED
            say(closed=frontend.describe())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
