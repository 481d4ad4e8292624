"""A file that goes through a network as TCP segments, each as unfinished as the sender's end
allows, and is put together again where it arrives.

    await sender.send(segments(content, sender.agreement.offloads, version=4))
    received = Reassembly(receiver.features.offloads)
    while received.length(4) < len(content):
        received.take(await receiver.receive())
    assert received.content(4) == content
"""

from __future__ import annotations

from collections.abc import Iterable

from pvdrivers.testing.vnif.frames import (
    BROADCAST,
    IP_LENGTH,
    SOURCE,
    checksums_right,
    ip_version,
    tcp,
)
from pvdrivers.vnif.features import Offloads
from pvdrivers.vnif.packet import GsoType, Packet

SEGMENT = 1448  # bytes of TCP payload in a frame of 1514
GSO_SEGMENTS = 20  # that one packet stands for
TCP_HEADER = 20


def takes_gso(offloads: Offloads, version: int) -> bool:
    return offloads.gso_tcpv4 if version == 4 else offloads.gso_tcpv6


def takes_blank(offloads: Offloads, version: int) -> bool:
    return offloads.csum_ipv4 if version == 4 else offloads.csum_ipv6


def segments(
    content: bytes,
    offloads: Offloads,
    *,
    version: int,
    flows: int = 1,
    segment: int = SEGMENT,
    destination: bytes = BROADCAST,
    source: bytes = SOURCE,
) -> list[Packet]:
    """The content, a part in each flow, as large and as unfinished as `offloads` allow."""
    gso, blank = takes_gso(offloads, version), takes_blank(offloads, version)
    step = GSO_SEGMENTS * segment if gso else segment
    part = -(-len(content) // flows)
    packets = []
    for flow in range(flows):
        end = min((flow + 1) * part, len(content))
        for at in range(flow * part, end, step):
            payload = content[at : min(at + step, end)]
            packet = tcp(
                payload,
                version=version,
                flow=flow,
                sequence=at,
                blank=blank,
                segment=segment if len(payload) > segment else 0,
                destination=destination,
                source=source,
            )
            packets.append(packet)
    return packets


class Reassembly:
    """What has come to a guest, whose end takes `offloads` and no more."""

    def __init__(self, offloads: Offloads, segment: int = SEGMENT) -> None:
        self.offloads = offloads
        self.segment = segment
        self.packets: list[Packet] = []
        self._pieces: dict[int, dict[int, bytes]] = {4: {}, 6: {}}  # by version and sequence

    def take(self, packets: Iterable[Packet]) -> None:
        """AssertionError: one of them is not as it should be, or has come before."""
        for packet in packets:
            version = ip_version(packet.data)
            self._check(packet, version)
            at = 14 + IP_LENGTH[version]
            sequence = int.from_bytes(packet.data[at + 4 : at + 8], "big")
            assert sequence not in self._pieces[version], f"{sequence} twice"
            self._pieces[version][sequence] = packet.data[at + TCP_HEADER :]
            self.packets.append(packet)

    def length(self, version: int) -> int:
        return sum(map(len, self._pieces[version].values()))

    def content(self, version: int) -> bytes:
        """In the order of TCP's sequence numbers."""
        return b"".join(piece for _, piece in sorted(self._pieces[version].items()))

    def _check(self, packet: Packet, version: int) -> None:
        gso, blank = takes_gso(self.offloads, version), takes_blank(self.offloads, version)
        assert checksums_right(packet), packet
        assert blank or not packet.csum_blank, packet
        if packet.gso_type:
            assert gso, packet
            assert packet.gso_type == (GsoType.TCPV4 if version == 4 else GsoType.TCPV6)
            assert packet.gso_size == self.segment
        else:
            length = 14 + IP_LENGTH[version] + TCP_HEADER + self.segment
            assert len(packet.data) <= length, packet
