"""What goes over a ring of a command whose initiator expects less data than it moves."""

import pytest

from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.tools.pvbridge.iscsi.lengths import READS, WRITES, fit

LIMIT = 1 << 20


@pytest.mark.parametrize("opcode", sorted(READS))
@pytest.mark.parametrize("expected", [0, 200, 512, 1023])
def test_reads_have_room_for_all(opcode: int, expected: int) -> None:
    cdb = BlockRange(7, 2).cdb(opcode)
    assert fit(cdb, expected, True, 512, LIMIT) == (cdb, 1024, 1024 - expected)


@pytest.mark.parametrize("opcode", sorted(WRITES))
@pytest.mark.parametrize(("expected", "blocks"), [(0, 0), (200, 0), (512, 1), (1023, 1)])
def test_writes_are_of_whole_blocks(opcode: int, expected: int, blocks: int) -> None:
    cdb, room, overflow = fit(BlockRange(7, 2).cdb(opcode), expected, False, 512, LIMIT)
    assert BlockRange.of(cdb) == (7, blocks)
    assert cdb[0] & 0x1F == opcode & 0x1F
    assert (room, overflow) == (0, 1024 - expected)


@pytest.mark.parametrize("expected", [1024, 4096])
def test_what_fits_is_left_alone(expected: int) -> None:
    cdb = BlockRange(7, 2).cdb(0x28)
    assert fit(cdb, expected, True, 512, LIMIT) == (cdb, expected, 0)


def test_what_has_no_blocks_is_left_alone() -> None:
    cdb = BlockRange(7, 2).cdb(0x28)
    assert fit(cdb, 100, True, 0, LIMIT) == (cdb, 100, 0)
    inquiry = bytes.fromhex("120000002400")
    assert fit(inquiry, 5, True, 512, LIMIT) == (inquiry, 5, 0)


def test_what_no_ring_can_carry_is_left_to_the_unit() -> None:
    cdb = BlockRange(7, 0xFFFF).cdb(0x28)
    assert fit(cdb, 512, True, 512, LIMIT) == (cdb, 512, 0)
