"""COMPARE AND WRITE and ORWRITE."""

from __future__ import annotations

import pytest

from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .conftest import BLOCKS


def compare_and_write(lba: int, blocks: int) -> bytes:
    return bytes((0x89, 0)) + lba.to_bytes(8, "big") + bytes((0, 0, 0, blocks, 0, 0))


def test_what_compares_is_written(initiator: UnitInitiator, block_size: int) -> None:
    old, new = bytes(2 * block_size), b"new!" * (block_size // 2)
    initiator.good(compare_and_write(4, 2), old + new)
    assert initiator.good(BlockRange(4, 2).cdb(0x28)) == new


@pytest.mark.parametrize("place", [0, 1, 600, -1])
def test_a_miscompare_says_where_and_writes_nothing(
    initiator: UnitInitiator, block_size: int, place: int
) -> None:
    expected = bytearray(2 * block_size)
    expected[place] = 1
    sense = initiator.sense(compare_and_write(4, 2), bytes(expected) + b"x" * 2 * block_size)
    assert (sense.key, sense.asc, sense.ascq) == (0x0E, 0x1D, 0x00)
    assert sense.information == place % (2 * block_size)
    assert initiator.good(BlockRange(4, 2).cdb(0x28)) == bytes(2 * block_size)


def test_what_compare_and_write_refuses(initiator: UnitInitiator, block_size: int) -> None:
    for size in (0, 1, 2 * block_size - 1, 2 * block_size + 1, 4 * block_size):
        assert initiator.code(compare_and_write(0, 1), bytes(size)) == "05/24/00"
    assert initiator.code(compare_and_write(BLOCKS, 1), bytes(2 * block_size)) == "05/21/00"
    initiator.good(compare_and_write(0, 0))
    most = 65536 // block_size
    initiator.good(compare_and_write(0, most), bytes(2 * most * block_size))
    data = bytes(2 * (most + 1) * block_size)
    assert initiator.code(compare_and_write(0, most + 1), data) == "05/24/00"


def test_orwrite(initiator: UnitInitiator, block_size: int) -> None:
    initiator.good(BlockRange(1, 1).cdb(0x2A), b"\x0f" * block_size)
    initiator.good(BlockRange(0, 2).cdb(0x8B), b"\x31" * 2 * block_size)
    expected = b"\x31" * block_size + b"\x3f" * block_size
    assert initiator.good(BlockRange(0, 2).cdb(0x28)) == expected
    initiator.good(BlockRange(0, 0).cdb(0x8B))
    assert initiator.code(BlockRange(0, 2).cdb(0x8B), bytes(block_size)) == "05/24/00"
    assert initiator.code(BlockRange(BLOCKS, 1).cdb(0x8B), bytes(block_size)) == "05/21/00"


@pytest.mark.parametrize(
    "opcode", [0x89, 0x8B, 0x41, 0x93, 0x42, 0x15, 0x55, 0x04, 0x48, 0x1B, 0x16, 0x56]
)
def test_what_excludes_direct_access(disk: Disk, opcode: int) -> None:
    action = 1 if opcode == 0x48 else 0
    assert disk.excludes_direct_access(bytes((opcode, action)).ljust(16, b"\0"))


@pytest.mark.parametrize("opcode", [0x00, 0x08, 0x0A, 0x28, 0x2A, 0x88, 0x8A, 0x35, 0x12, 0xA3])
def test_what_does_not(disk: Disk, opcode: int) -> None:
    assert not disk.excludes_direct_access(bytes((opcode,)).ljust(16, b"\0"))
