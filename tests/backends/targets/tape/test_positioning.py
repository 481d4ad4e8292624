"""REWIND, SPACE, LOCATE and READ POSITION."""

from __future__ import annotations

import struct

import pytest

from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .conftest import MakeTape
from .tape_commands import (
    BLOCKS,
    FILEMARKS,
    REWIND,
    TO_END,
    brief,
    locate,
    locate_16,
    position,
    put,
    read,
    space,
    space_16,
)

SHORT, EXTENDED = "34 00" + "00" * 8, "34 08 00 00 00 00 00 00 20 00"
OBJECT, FILE, END = 0, 1, 3


@pytest.fixture
def recorded(initiator: UnitInitiator) -> UnitInitiator:
    """a b | c | | d, rewound: | are filemarks."""
    put(initiator, b"a", b"b", None, b"c", None, None, b"d")
    initiator.good(REWIND)
    return initiator


@pytest.mark.parametrize("form", [space, space_16])
def test_space_over_blocks(recorded: UnitInitiator, form: type[bytes]) -> None:
    recorded.good(form(BLOCKS, 1))
    assert recorded.good(read(1)) == b"b"
    recorded.good(form(BLOCKS, -2))
    assert position(recorded) == (0, 0)
    recorded.good(form(BLOCKS, 0))
    assert recorded.good(read(1)) == b"a"


def test_blocks_end_at_a_filemark(recorded: UnitInitiator) -> None:
    assert brief(recorded.sense(space(BLOCKS, 5))) == ("00/00/01", 3, "F")
    assert recorded.good(read(1)) == b"c"
    assert brief(recorded.sense(space(BLOCKS, -5))) == ("00/00/01", 4, "F")
    assert position(recorded) == (2, 0)  # before the filemark


def test_blocks_end_where_data_do(recorded: UnitInitiator) -> None:
    recorded.good(locate(6))
    assert brief(recorded.sense(space(BLOCKS, 3))) == ("08/00/05", 2, "")
    assert position(recorded) == (7, 3)


def test_space_ends_at_the_beginning(recorded: UnitInitiator) -> None:
    recorded.good(locate(2))
    assert brief(recorded.sense(space(BLOCKS, -3))) == ("00/00/04", 1, "E")
    assert position(recorded) == (0, 0)
    assert brief(recorded.sense(space(FILEMARKS, -1))) == ("00/00/04", 1, "E")


@pytest.mark.parametrize("form", [space, space_16])
def test_space_over_filemarks(recorded: UnitInitiator, form: type[bytes]) -> None:
    recorded.good(form(FILEMARKS, 1))
    assert position(recorded) == (3, 1)
    recorded.good(form(FILEMARKS, 2))
    assert recorded.good(read(1)) == b"d"
    recorded.good(form(FILEMARKS, -2))
    assert position(recorded) == (4, 1)  # before the second
    recorded.good(form(FILEMARKS, 0))
    assert position(recorded) == (4, 1)


def test_filemarks_end_where_data_do(recorded: UnitInitiator) -> None:
    assert brief(recorded.sense(space(FILEMARKS, 5))) == ("08/00/05", 2, "")
    assert position(recorded) == (7, 3)


def test_to_the_end_of_data(recorded: UnitInitiator) -> None:
    for cdb in (TO_END, locate_16(END, 0)):
        recorded.good(REWIND)
        recorded.good(cdb)
        assert position(recorded) == (7, 3)
        assert recorded.code(read(1)) == "08/00/05"


@pytest.mark.parametrize("kind", [2, 4, 5, 6, 7, 8])
def test_space_over_what_there_is_not(recorded: UnitInitiator, kind: int) -> None:
    """Sequential filemarks, setmarks."""
    assert recorded.code(space(kind, 1)) == "05/24/00"


def test_locate_an_object_from_everywhere(recorded: UnitInitiator) -> None:
    files = [0, 0, 0, 1, 1, 2, 3, 3]
    for start in range(8):
        for number in range(8):
            for cdb in (locate(number), locate_16(OBJECT, number)):
                recorded.good(locate(start))
                recorded.good(cdb)
                assert position(recorded) == (number, files[number])


def test_locate_a_file_from_everywhere(recorded: UnitInitiator) -> None:
    for start in range(8):
        for file, number in enumerate((0, 3, 5, 6)):
            recorded.good(locate(start))
            recorded.good(locate_16(FILE, file))
            assert position(recorded) == (number, file)


def test_locate_what_is_beyond_the_end(recorded: UnitInitiator) -> None:
    for cdb in (locate(8), locate(0xFFFFFFFF), locate_16(FILE, 4), locate_16(OBJECT, 1 << 63)):
        recorded.good(REWIND)
        assert recorded.code(cdb) == "08/00/05"
        assert position(recorded) == (7, 3)


def test_there_is_one_partition(recorded: UnitInitiator) -> None:
    recorded.good("2b 02 00 00 00 00 01 00 00 00")
    assert recorded.code("2b 02 00 00 00 00 01 00 01 00") == "05/24/00"
    assert recorded.code("92 02 00 01" + "00" * 12) == "05/24/00"
    assert recorded.code(locate_16(2, 0)) == "05/24/00"


def test_position_in_all_forms(recorded: UnitInitiator) -> None:
    assert recorded.good(SHORT) == b"\x80" + bytes(19)
    recorded.good(locate(4))
    assert recorded.good(SHORT) == struct.pack(">4xII8x", 4, 4)
    assert recorded.good("34 01" + "00" * 8) == recorded.good(SHORT)  # as Linux' st asks
    assert recorded.good("34 06" + "00" * 8) == struct.pack(">8xQQ8x", 4, 1)
    assert recorded.good(EXTENDED) == struct.pack(">2xH4xQQ8x", 28, 4, 4)
    assert recorded.good("34 08 00 00 00 00 00 00 04 00") == struct.pack(">2xH", 28)
    assert recorded.code("34 07" + "00" * 8) == "05/24/00"
    assert recorded.code("34 00 00 00 00 00 00 00 14 00") == "05/24/00"


def test_position_tells_of_early_warning(make_tape: MakeTape) -> None:
    initiator = make_tape(capacity=1 << 16)
    initiator.sense(bytes((0x0A, 0, 0, 0xF0, 0, 0)), bytes(0xF000))
    for cdb in (SHORT, EXTENDED, "34 06" + "00" * 8):
        assert initiator.good(cdb)[0] == 0x40
        assert initiator.good(REWIND) == b""
        assert initiator.good(cdb)[0] == 0x80
        initiator.good(TO_END)
