"""The commands of a tape as an initiator builds them."""

from __future__ import annotations

import struct

from pvdrivers.scsi.sense import Sense
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

REWIND = "01 00 00 00 00 00"
TEST_UNIT_READY = "00 00 00 00 00 00"
LOAD, UNLOAD = "1b 00 00 00 01 00", "1b 00 00 00 00 00"
PREVENT, ALLOW = "1e 00 00 00 01 00", "1e 00 00 00 00 00"
TO_END = "11 03 00 00 00 00"
BLOCKS, FILEMARKS = 0, 1
FIXED, SILI = 1, 2
BY_DRIVE, SELECTED, BY_INITIATOR = 0x80, 0x40, 0x20  # who says the sizes of partitions
REST = 0xFFFF  # a partition's size: what the other leaves
ONE_PARTITION, AS_CHOSEN = 0, 1  # FORMAT MEDIUM


def read(length: int, flags: int = 0) -> bytes:
    return bytes((0x08, flags, *length.to_bytes(3, "big"), 0))


def write(length: int, flags: int = 0) -> bytes:
    return bytes((0x0A, flags, *length.to_bytes(3, "big"), 0))


def filemarks(count: int, flags: int = 0) -> bytes:
    return bytes((0x10, flags, *count.to_bytes(3, "big"), 0))


def space(kind: int, count: int) -> bytes:
    return bytes((0x11, kind, *count.to_bytes(3, "big", signed=True), 0))


def space_16(kind: int, count: int) -> bytes:
    return struct.pack(">BBxxqxxxx", 0x91, kind, count)


def locate(number: int, partition: int | None = None) -> bytes:
    changes = partition is not None
    return struct.pack(">BBxIxBx", 0x2B, changes << 1, number, partition or 0)


def locate_16(kind: int, number: int, partition: int | None = None) -> bytes:
    changes = partition is not None
    return struct.pack(">BBxBQxxxx", 0x92, kind << 3 | changes << 1, partition or 0, number)


def format_medium(kind: int) -> bytes:
    return bytes((0x04, 0, kind, 0, 0, 0))


def put(initiator: UnitInitiator, *objects: bytes | None) -> None:
    """Records; None: a filemark."""
    for some in objects:
        if some is None:
            initiator.good(filemarks(1, flags=1))
        else:
            initiator.good(write(len(some)), some)


def position(initiator: UnitInitiator) -> tuple[int, int]:
    """The numbers of objects and of filemarks before it."""
    _, number, file = struct.unpack(">QQQ8x", initiator.good("34 06" + "00" * 8))
    return number, file


def block_length(initiator: UnitInitiator, length: int) -> None:
    """MODE SELECT, as `mt setblk`."""
    initiator.good("15 10 00 00 0c 00", struct.pack(">xxxBxxxxI", 8, length))


def choose_partitions(
    initiator: UnitInitiator, *sizes: int, flags: int = BY_INITIATOR, power: int = 3
) -> None:
    """MODE SELECT for FORMAT MEDIUM, with two sizes in units of 10^power bytes, or for one
    partition."""
    initiator.good("15 10 00 00 10 00", partition_page(*sizes, flags=flags, power=power))


def partition_page(*sizes: int, flags: int = BY_INITIATOR, power: int = 3) -> bytes:
    first, second = sizes or (0, 0)
    page = struct.pack(">BBBBBxHH", 1, len(sizes) // 2, flags | 0x1C, 3, power, first, second)
    return bytes(4) + bytes((0x11, len(page))) + page


def brief(sense: Sense) -> tuple[str, int | None, str]:
    """Key and code, information, and the bits that are set."""
    bits = {"F": sense.filemark, "E": sense.end_of_medium, "I": sense.incorrect_length}
    information = sense.information
    if information is not None and information >> 31:
        information -= 1 << 32
    return sense.code, information, "".join(bit for bit, is_set in bits.items() if is_set)
