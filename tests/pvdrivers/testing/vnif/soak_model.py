"""What a soak's guests send each other, and what may come of it: the model that holds for packets.

A packet's bytes follow from its number. What arrives must be what was sent, no more often than the
filters on its way duplicate it; and it must arrive when nothing on its way could lose it.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from pvdrivers.testing.vnif.frames import (
    EXPERIMENTAL,
    IP_LENGTH,
    checksums_right,
    ethernet,
    ip_version,
    tcp,
    udp,
)
from pvdrivers.testing.vnif.transfer import takes_blank, takes_gso
from pvdrivers.vnif.features import Offloads
from pvdrivers.vnif.packet import Packet

SEGMENT = 1000
NUMBER = 8  # bytes of a packet's number, where its payload begins
KINDS = ("plain", "udp4", "udp6", "tcp4", "tcp6")
TCP_HEADER = 20


@dataclass
class Sent:
    """A packet on its way, and how often each part of its payload has come."""

    number: int
    receiver: str
    payload: bytes = field(repr=False)
    flow: str
    must_arrive: bool = True
    may_arrive: bool = True
    copies: int = 1  # at most
    parts: Counter[int] = field(default_factory=Counter)  # by offset in the payload
    arrived: int = 0  # bytes of the payload, each once

    @property
    def complete(self) -> bool:
        return self.arrived == len(self.payload)


def payload_of(number: int, length: int) -> bytes:
    return number.to_bytes(NUMBER, "big") + random.Random(number).randbytes(length - NUMBER)


def build(
    draw: random.Random, number: int, agreed: Offloads, addresses: tuple[bytes, bytes]
) -> tuple[Packet, bytes, str, int]:
    """A packet from the second address to the first; its payload, kind and flow."""
    kind = draw.choice(KINDS)
    flow = draw.randrange(4)
    destination, source = addresses
    ends = {"destination": destination, "source": source}
    longest = 8000 if agreed.sg else SEGMENT
    if kind == "plain":
        payload = payload_of(number, draw.randrange(NUMBER + 4, longest))
        return Packet(ethernet(payload, EXPERIMENTAL, **ends)), payload, kind, 0
    version = int(kind[3])
    blank = takes_blank(agreed, version) and draw.random() < 0.8
    if kind.startswith("udp"):
        payload = payload_of(number, draw.randrange(NUMBER, longest))
        return udp(payload, version=version, flow=flow, blank=blank, **ends), payload, kind, flow
    gso = blank and takes_gso(agreed, version)
    payload = payload_of(number, draw.randrange(NUMBER, 8 * SEGMENT if gso else SEGMENT))
    packet = tcp(
        payload,
        version=version,
        flow=flow,
        sequence=number << 16 & 0xFFFFFFFF,
        blank=blank,
        segment=SEGMENT if gso and len(payload) > SEGMENT else 0,
        **ends,
    )
    return packet, payload, kind, flow


class Traffic:
    """The packets of a round: those that are sent, and what comes."""

    def __init__(self) -> None:
        self.sent: dict[int, Sent] = {}
        self.ordered: dict[str, int] = {}  # the last number of each flow that came

    def add(self, sent: Sent) -> None:
        self.sent[sent.number] = sent

    def arrive(self, receiver: str, packet: Packet, takes: Offloads) -> Sent:
        """AssertionError: it may not arrive there, or not so."""
        sent, offset, part = self._find(packet)
        assert sent.receiver == receiver, f"{sent.number} came to {receiver}"
        assert sent.payload[offset : offset + len(part)] == part, f"{sent.number} was changed"
        assert sent.may_arrive, f"{sent.number} should not have come"
        version = ip_version(packet.data)
        if version:
            assert checksums_right(packet), packet
            assert takes_blank(takes, version) or not packet.csum_blank, packet
            assert takes_gso(takes, version) or not packet.gso_type, packet
        sent.parts[offset] += 1
        assert sent.parts[offset] <= sent.copies, f"{sent.number} came too often"
        if sent.parts[offset] == 1:
            sent.arrived += len(part)
        return sent

    def _find(self, packet: Packet) -> tuple[Sent, int, bytes]:
        """What was sent that it is or is a part of, where in the payload, and the bytes."""
        version = ip_version(packet.data)
        if not version:
            part = packet.data[14:]
            return self.sent[int.from_bytes(part[:NUMBER], "big")], 0, part
        at = 14 + IP_LENGTH[version]
        protocol = packet.data[23 if version == 4 else 20]
        if protocol == 17:
            part = packet.data[at + 8 :]
            return self.sent[int.from_bytes(part[:NUMBER], "big")], 0, part
        sequence = int.from_bytes(packet.data[at + 4 : at + 8], "big")
        low = sequence >> 16
        sent = next(each for number, each in self.sent.items() if number & 0xFFFF == low)
        return sent, sequence & 0xFFFF, packet.data[at + TCP_HEADER :]

    def missing(self) -> list[Sent]:
        return [each for each in self.sent.values() if each.must_arrive and not each.complete]
