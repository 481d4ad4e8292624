"""Packets that scapy builds: we must find in them what scapy put there, and segment as it would."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pvdrivers._core import ffi, lib
from pvdrivers.vnif.packet import GsoType, Packet

pytest.importorskip("scapy", reason="needs scapy (make install has it)")

from scapy.layers.inet import IP, TCP, UDP, IPOption_EOL, IPOption_NOP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Pad1,
    PadN,
)
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

CHECKSUM_OFFSET = {TCP: 16, UDP: 6}
slow_to_build = settings(max_examples=40)


@dataclass
class Built:
    """A frame by scapy, with what must be found in it."""

    ethernet: Any
    ip: Any  # with its extension headers
    transport: Any
    payload: bytes

    @property
    def version(self) -> int:
        return 4 if isinstance(self.ip, IP) else 6

    @property
    def frame(self) -> bytes:
        return bytes(self.ethernet / self.ip / self.transport / self.payload)

    @property
    def network_at(self) -> int:
        return len(self.ethernet)

    @property
    def transport_at(self) -> int:
        return len(self.ethernet / self.ip)

    @property
    def payload_at(self) -> int:
        return len(self.ethernet / self.ip / self.transport)

    @property
    def checksum_at(self) -> int:
        return self.transport_at + CHECKSUM_OFFSET[type(self.transport)]

    def with_checksum(self, checksum: bytes) -> bytes:
        return self.frame[: self.checksum_at] + checksum + self.frame[self.checksum_at + 2 :]

    def pseudo_header_sum(self) -> bytes:
        """By RFC 793 and RFC 8200, slowly."""
        addresses = bytes(self.ip)[12:20] if self.version == 4 else bytes(self.ip)[8:40]
        protocol = 6 if isinstance(self.transport, TCP) else 17
        words = addresses + protocol.to_bytes(2, "big")
        total = sum(int.from_bytes(words[at : at + 2], "big") for at in range(0, len(words), 2))
        total += len(self.frame) - self.transport_at
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        return total.to_bytes(2, "big")


def stacked(layers: list[Any]) -> Any:
    whole = layers[0]
    for layer in layers[1:]:
        whole = whole / layer
    return whole


words = st.integers(0, 0xFFFF)
ports = st.integers(1, 0xFFFF)
ethernets = st.builds(
    lambda tags: stacked([Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02"), *tags]),
    st.lists(
        st.builds(lambda kind, vlan: kind(vlan=vlan), st.sampled_from([Dot1Q, Dot1AD]), words),
        max_size=3,
    ),
)
ipv4s = st.builds(
    lambda src, dst, ident, options: IP(src=src, dst=dst, id=ident, options=options),
    *[st.ip_addresses(v=4).map(str)] * 2,
    words,
    st.lists(st.sampled_from([IPOption_NOP(), IPOption_EOL()]), max_size=40),
)
extensions = st.lists(
    st.builds(lambda pad: IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(pad))]), st.integers(0, 60))
    | st.just(IPv6ExtHdrHopByHop(options=[Pad1()]))
    | st.just(IPv6ExtHdrRouting(addresses=["::1", "::2"], segleft=0))
    | st.just(IPv6ExtHdrFragment(id=7)),
    max_size=5,
)
ipv6s = st.builds(
    lambda src, dst, extensions: stacked([IPv6(src=src, dst=dst), *extensions]),
    *[st.ip_addresses(v=6).map(str)] * 2,
    extensions,
)
tcps = st.builds(
    lambda source, destination, sequence, flags, options: TCP(
        sport=source, dport=destination, seq=sequence, flags=flags, options=options
    ),
    ports,
    ports,
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFF),
    st.lists(st.sampled_from([("NOP", None), ("MSS", 1460), ("Timestamp", (1, 2))]), max_size=3),
)
udps = st.builds(lambda source, destination: UDP(sport=source, dport=destination), ports, ports)
payloads = st.binary(max_size=700)
frames = st.builds(Built, ethernets, ipv4s | ipv6s, tcps | udps, payloads)
tcp_frames = st.builds(Built, ethernets, ipv4s | ipv6s, tcps, payloads)


@contextmanager
def in_c(packet: Packet, cache: Any) -> Iterator[Any]:
    pointer = packet.to_pointer(cache)
    yield pointer
    lib.pv_packet_release(cache, ffi.new("struct pv_packet *[]", [pointer]), 1)


@slow_to_build
@given(built=frames, padding=st.binary(max_size=20))
def test_headers(built: Built, padding: bytes, packet_cache: Any) -> None:
    headers = ffi.new("struct pv_packet_headers *")
    with in_c(Packet(built.frame + padding), packet_cache) as packet:
        lib.pv_packet_parse(packet, headers)
    assert headers.version == built.version
    assert headers.network == built.network_at
    assert headers.transport == built.transport_at
    assert headers.payload == built.payload_at
    assert headers.end == len(built.frame)
    assert headers.protocol == (6 if isinstance(built.transport, TCP) else 17)
    assert not headers.fragment


@slow_to_build
@given(built=frames, data=st.data())
def test_checksums_of_scapys_are_valid_until_a_bit_changes(
    built: Built, data: Any, packet_cache: Any
) -> None:
    frame = bytearray(built.frame)
    with in_c(Packet(bytes(frame)), packet_cache) as packet:
        assert lib.pv_packet_checksums_valid(packet)
    # Not in lengths, since a packet of another length may have no checksum.
    covered = [*range(built.transport_at, built.transport_at + 4)]
    covered += range(built.payload_at, len(frame))
    if built.version == 4:
        covered += range(built.network_at + 12, built.network_at + 20)
    frame[data.draw(st.sampled_from(covered))] ^= 1 << data.draw(st.integers(0, 7))
    with in_c(Packet(bytes(frame)), packet_cache) as packet:
        assert not lib.pv_packet_checksums_valid(packet)


@slow_to_build
@given(built=frames, garbage=st.binary(min_size=2, max_size=2), padding=st.binary(max_size=9))
def test_a_filled_checksum_is_scapys(
    built: Built, garbage: bytes, padding: bytes, packet_cache: Any
) -> None:
    scapys = built.frame[built.checksum_at : built.checksum_at + 2]
    if scapys == bytes(2):
        scapys = b"\xff\xff"  # the same sum; ours is never 0, whatever the protocol
    with in_c(
        Packet(built.with_checksum(garbage) + padding, csum_blank=True), packet_cache
    ) as packet:
        assert lib.pv_packet_fill_checksum(packet)
        filled = Packet.from_pointer(packet)
    assert filled.data == built.with_checksum(scapys) + padding
    assert (filled.csum_blank, filled.data_validated) == (False, True)


@slow_to_build
@given(built=frames)
def test_a_blank_checksum_is_the_pseudo_headers_sum(built: Built, packet_cache: Any) -> None:
    with in_c(Packet(built.frame), packet_cache) as packet:
        assert lib.pv_packet_blank_checksum(packet)
        blank = Packet.from_pointer(packet)
    assert blank.data == built.with_checksum(built.pseudo_header_sum())
    assert blank.csum_blank


@slow_to_build
@given(built=frames)
def test_a_virtio_header_says_where_the_checksum_is(built: Built, packet_cache: Any) -> None:
    header = ffi.new("struct pv_virtio_net_header *")
    with in_c(Packet(built.frame, csum_blank=True), packet_cache) as packet:
        assert lib.pv_virtio_net_header_from_packet(header, packet)
    assert header.flags == lib.PV_VIRTIO_NET_NEEDS_CSUM
    assert header.csum_start == built.transport_at
    assert header.csum_start + header.csum_offset == built.checksum_at


def segment(
    built: Built, gso_size: int, keep_blank: bool, cache: Any, padding: bytes
) -> list[Packet]:
    gso_type = GsoType.TCPV4 if built.version == 4 else GsoType.TCPV6
    whole = Packet(built.frame + padding, csum_blank=True, gso_type=gso_type, gso_size=gso_size)
    segments = ffi.new("struct pv_packet *[]", 1000)
    with in_c(whole, cache) as packet:
        count = lib.pv_packet_segment(packet, cache, keep_blank, segments, len(segments))
        assert count > 0
        assert Packet.from_pointer(packet) == whole
    found = [Packet.from_pointer(segments[i]) for i in range(count)]
    lib.pv_packet_release(cache, segments, count)
    return found


def scapys_segments(built: Built, gso_size: int) -> list[Built]:
    """What TCP would have sent: RFC 793, RFC 3168 for CWR, a new identification for each."""
    cuts = range(0, max(len(built.payload), 1), gso_size)
    segments = []
    for number, at in enumerate(cuts):
        ip, tcp = built.ip.copy(), built.transport.copy()
        if built.version == 4:
            ip.id = (ip.id + number) & 0xFFFF
        tcp.seq = (tcp.seq + at) & 0xFFFFFFFF
        if number > 0:
            tcp.flags = int(tcp.flags) & ~0x80
        if number < len(cuts) - 1:
            tcp.flags = int(tcp.flags) & ~0x09
        segments.append(Built(built.ethernet, ip, tcp, built.payload[at : at + gso_size]))
    return segments


@slow_to_build
@given(
    built=tcp_frames,
    gso_size=st.integers(1, 800),
    keep_blank=st.booleans(),
    padding=st.binary(max_size=9),
)
def test_segments_are_scapys(
    built: Built, gso_size: int, keep_blank: bool, padding: bytes, packet_cache: Any
) -> None:
    assume(len(built.payload) / gso_size < 12)
    ours = segment(built, gso_size, keep_blank, packet_cache, padding)
    theirs = scapys_segments(built, gso_size)
    assert len(ours) == len(theirs)
    for mine, scapys in zip(ours, theirs, strict=True):
        checksum = scapys.frame[scapys.checksum_at : scapys.checksum_at + 2]
        if keep_blank:
            checksum = scapys.pseudo_header_sum()
        elif checksum == bytes(2):
            checksum = b"\xff\xff"
        expected = scapys.with_checksum(checksum)
        assert mine == Packet(expected, csum_blank=keep_blank, data_validated=True)


@slow_to_build
@given(built=frames, key=st.binary(max_size=40), types=st.integers(0, 15))
def test_toeplitz(built: Built, key: bytes, types: int, packet_cache: Any) -> None:
    """Against the definition: the key as one long number."""
    bit = (0 if built.version == 4 else 2) + isinstance(built.transport, TCP)
    if not types & 1 << bit:
        bit &= 2  # of the addresses alone
    found, value = ffi.new("uint8_t *"), ffi.new("uint32_t *")
    with in_c(Packet(built.frame), packet_cache) as packet:
        applies = lib.pv_packet_toeplitz(packet, types, key, len(key), found, value)
    assert applies == bool(types & 1 << bit)
    if not applies:
        return
    ip, ports_at = built.network_at, built.transport_at
    words = built.frame[ip + 12 : ip + 20] if built.version == 4 else built.frame[ip + 8 : ip + 40]
    if bit & 1:
        words += built.frame[ports_at : ports_at + 4]
    number, expected = int.from_bytes(key.ljust(40, b"\0"), "big"), 0
    for at in range(len(words) * 8):
        if words[at // 8] >> (7 - at % 8) & 1:
            expected ^= number >> (320 - 32 - at) & 0xFFFFFFFF
    assert (found[0], value[0]) == (bit, expected)
