"""Packets as Python objects."""

from typing import Any

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.ring import UsageError
from pvdrivers.vnif.packet import GsoType, HashAlgorithm, Packet, packet_pool

FULL = Packet(
    bytes(range(200)) * 10,
    csum_blank=True,
    data_validated=True,
    gso_type=GsoType.TCPV6,
    gso_size=1440,
    hash_algorithm=HashAlgorithm.TOEPLITZ,
    hash_type=3,
    hash=0xFFFFFFFF,
)


@pytest.mark.parametrize("packet", [Packet(bytes(14)), Packet(b"x" * 65535), FULL])
def test_there_and_back(packet: Packet, packet_cache: Any) -> None:
    pointer = packet.to_pointer(packet_cache)
    assert Packet.from_pointer(pointer) == packet
    lib.pv_packet_release(packet_cache, ffi.new("struct pv_packet *[]", [pointer]), 1)


@pytest.mark.parametrize(
    ("packet", "complaint"),
    [
        (Packet(bytes(13)), "13 bytes is not 14 to 65535"),
        (Packet(bytes(65536)), "65536 bytes is not 14 to 65535"),
        (Packet(bytes(60), gso_type=GsoType.TCPV4), "TCPV4 needs a gso_size"),
        (Packet(bytes(60), gso_size=65536), "gso_size of 65536 is not 0 to 65535"),
        (Packet(bytes(60), hash=-1), "hash of -1 is not 0 to 4294967295"),
    ],
)
def test_what_no_ring_can_carry(packet: Packet, complaint: str, packet_cache: Any) -> None:
    with pytest.raises(UsageError, match=complaint):
        packet.to_pointer(packet_cache)


def test_repr() -> None:
    assert repr(Packet(bytes(60))) == "<Packet 60 bytes>"
    assert repr(FULL) == "<Packet 2000 bytes, checksum blank, GSO TCPV6 1440, hash ffffffff>"


def test_one_pool_of_the_process() -> None:
    assert packet_pool() == packet_pool()
