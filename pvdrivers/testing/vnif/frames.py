"""Ethernet frames for tests: each differs from the others, and its checksums are right or blank."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

from pvdrivers.vnif.packet import GsoType, Packet

BROADCAST = b"\xff" * 6
SOURCE = b"\x00\x16\x3e\x00\x00\x01"
EXPERIMENTAL = 0x88B5  # an ethertype for local experiments
IPV4, IPV6 = 0x0800, 0x86DD
IP_LENGTH = {4: 20, 6: 40}  # of the headers here
CHECKSUM_AT = {socket.IPPROTO_TCP: 16, socket.IPPROTO_UDP: 6}  # in the transport's header


def ethernet(
    payload: bytes,
    ethertype: int = EXPERIMENTAL,
    destination: bytes = BROADCAST,
    source: bytes = SOURCE,
) -> bytes:
    return destination + source + ethertype.to_bytes(2, "big") + payload


def frame(number: int, length: int = 60) -> bytes:
    """`length` bytes that tell `number`, at least 18."""
    return ethernet((number.to_bytes(4, "big") * (length // 4))[: length - 14])


def tcp(
    payload: bytes,
    *,
    version: int = 4,
    flow: int = 0,
    sequence: int = 0,
    blank: bool = False,
    segment: int = 0,
    destination: bytes = BROADCAST,
    source: bytes = SOURCE,
) -> Packet:
    """A TCP packet of one of many flows. `blank`: its checksum is left to others. `segment`: bytes
    of payload that it is to be cut into."""
    header = struct.pack("!HHIIBBHHH", 1024 + flow, 80, sequence, 0, 5 << 4, 0x18, 0xFFFF, 0, 0)
    data = _ip(header, payload, socket.IPPROTO_TCP, version, blank)
    return Packet(
        ethernet(data, IPV4 if version == 4 else IPV6, destination, source),
        csum_blank=blank,
        data_validated=blank,
        gso_type=(GsoType.TCPV4 if version == 4 else GsoType.TCPV6) if segment else GsoType.NONE,
        gso_size=segment,
    )


def udp(
    payload: bytes,
    *,
    version: int = 4,
    flow: int = 0,
    blank: bool = False,
    destination: bytes = BROADCAST,
    source: bytes = SOURCE,
) -> Packet:
    header = struct.pack("!HHHH", 1024 + flow, 53, 8 + len(payload), 0)
    data = _ip(header, payload, socket.IPPROTO_UDP, version, blank)
    frame = ethernet(data, IPV4 if version == 4 else IPV6, destination, source)
    return Packet(frame, csum_blank=blank, data_validated=blank)


def ip_version(data: bytes) -> int:
    """4 or 6, or 0 of what is not IP."""
    return {IPV4: 4, IPV6: 6}.get(int.from_bytes(data[12:14], "big"), 0)


def checksums_right(packet: Packet) -> bool:
    """Whether IPv4's and TCP's or UDP's checksums are right; a blank one is right when it covers
    the pseudo header. Of packets as they are made here."""
    version = ip_version(packet.data)
    at = 14 + IP_LENGTH[version]
    network, transport = packet.data[14:at], packet.data[at:]
    if version == 4 and _sum(network) != 0xFFFF:
        return False
    protocol = network[9 if version == 4 else 6]
    pseudo = _pseudo_header(network, version, protocol, len(transport))
    if packet.csum_blank:
        field = CHECKSUM_AT[protocol]
        return transport[field : field + 2] == _fold(pseudo)
    return _sum(pseudo + transport) == 0xFFFF


def _ip(header: bytes, payload: bytes, protocol: int, version: int, blank: bool) -> bytes:
    """The header of a transport between two hosts, with IP's before it."""
    source, destination = (
        ip_address(f"10.0.0.{host}" if version == 4 else f"fd00::{host}").packed for host in (1, 2)
    )
    length = len(header) + len(payload)
    if version == 4:
        network = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 64, protocol, 0)
        network += source + destination
        network = network[:10] + _checksum(network) + network[12:]
    else:
        network = struct.pack("!IHBB", 6 << 28, length, protocol, 64)
        network += source + destination
    pseudo = _pseudo_header(network, version, protocol, length)
    checksum = _fold(pseudo) if blank else _checksum(pseudo + header + payload)
    at = CHECKSUM_AT[protocol]
    return network + header[:at] + checksum + header[at + 2 :] + payload


def _pseudo_header(network: bytes, version: int, protocol: int, length: int) -> bytes:
    if version == 4:
        return network[12:20] + struct.pack("!BBH", 0, protocol, length)
    return network[8:40] + struct.pack("!II", length, protocol)


def _sum(data: bytes) -> int:
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2))
    total: int = sum(words)
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _fold(data: bytes) -> bytes:
    return _sum(data).to_bytes(2, "big")


def _checksum(data: bytes) -> bytes:
    return (~_sum(data) & 0xFFFF).to_bytes(2, "big")
