"""Ranges of blocks in CDBs of 6, 10, 12 and 16 bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.scsi.block_range import BlockRange


@pytest.mark.parametrize(
    ("cdb", "expected"),
    [
        ("08 ff ff fe 01 00", (0x1FFFFE, 1)),
        ("08 00 00 00 00 00", (0, 256)),
        ("28 00 80 00 00 01 ff 00 10 00", (0x80000001, 16)),
        ("a8 00 80 00 00 01 00 01 00 00 ff 00", (0x80000001, 65536)),
        ("88 00 00 00 00 01 00 00 00 00 00 00 00 02 ff 00", (1 << 32, 2)),
    ],
)
def test_where_a_range_stands(cdb: str, expected: tuple[int, int]) -> None:
    assert BlockRange.of(bytes.fromhex(cdb)) == expected


@given(
    st.sampled_from([(0x08, 21, 256, 6), (0x28, 32, 65535, 10), (0xA8, 32, 1 << 20, 12)])
    | st.just((0x88, 64, (1 << 32) - 1, 16)),
    st.data(),
)
def test_a_cdb_has_the_range_it_was_made_of(
    kind: tuple[int, int, int, int], data: st.DataObject
) -> None:
    opcode, bits, most, length = kind
    wanted = BlockRange(data.draw(st.integers(0, (1 << bits) - 1)), data.draw(st.integers(1, most)))
    cdb = wanted.cdb(opcode)
    assert len(cdb) == length
    assert cdb[0] == opcode
    assert BlockRange.of(cdb) == wanted


@pytest.mark.parametrize(
    ("opcode", "lba", "blocks"),
    [(0x08, 1 << 21, 1), (0x08, 0, 257), (0x08, 0, 0), (0x28, 1 << 32, 1), (0x28, 0, 65536)],
)
def test_what_does_not_fit(opcode: int, lba: int, blocks: int) -> None:
    with pytest.raises(OverflowError):
        BlockRange(lba, blocks).cdb(opcode)
