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


def ethernet(
    payload: bytes, ethertype: int = EXPERIMENTAL, destination: bytes = BROADCAST
) -> bytes:
    return destination + SOURCE + ethertype.to_bytes(2, "big") + payload


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
) -> Packet:
    """A TCP packet of one of many flows. `blank`: its checksum is left to others. `segment`: bytes
    of payload that it is to be cut into."""
    source, destination = (
        ip_address(f"10.0.0.{host}" if version == 4 else f"fd00::{host}").packed for host in (1, 2)
    )
    header = struct.pack("!HHIIBBHHH", 1024 + flow, 80, sequence, 0, 5 << 4, 0x18, 0xFFFF, 0, 0)
    length = len(header) + len(payload)
    if version == 4:
        pseudo = source + destination + struct.pack("!BBH", 0, socket.IPPROTO_TCP, length)
        network = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 64, 6, 0)
        network += source + destination
        network = network[:10] + _checksum(network) + network[12:]
    else:
        pseudo = source + destination + struct.pack("!II", length, socket.IPPROTO_TCP)
        network = struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_TCP, 64)
        network += source + destination
    checksum = _fold(pseudo) if blank else _checksum(pseudo + header + payload)
    data = network + header[:16] + checksum + header[18:] + payload
    return Packet(
        ethernet(data, IPV4 if version == 4 else IPV6),
        csum_blank=blank,
        data_validated=blank,
        gso_type=(GsoType.TCPV4 if version == 4 else GsoType.TCPV6) if segment else GsoType.NONE,
        gso_size=segment,
    )


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
