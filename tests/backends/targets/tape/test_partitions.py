"""Cartridges with two partitions: how they are made, and what commands find in them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pvdrivers.backends.targets.durable_file import DurableFile
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.ring.errors import UsageError
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .conftest import MakeTape
from .tape_commands import (
    AS_CHOSEN,
    BY_DRIVE,
    BY_INITIATOR,
    FILEMARKS,
    LOAD,
    ONE_PARTITION,
    REST,
    REWIND,
    SELECTED,
    TO_END,
    UNLOAD,
    brief,
    choose_partitions,
    filemarks,
    format_medium,
    locate,
    locate_16,
    partition_page,
    position,
    put,
    read,
    space,
    write,
)

CAPACITY = 200_000
OBJECT, END = 0, 3


@pytest.fixture
def partitioned(make_tape: MakeTape) -> UnitInitiator:
    """134 000 and 66 000 bytes."""
    initiator = make_tape(capacity=CAPACITY)
    choose_partitions(initiator, REST, 66)
    initiator.good(format_medium(AS_CHOSEN))
    return initiator


def partition_of(initiator: UnitInitiator) -> int:
    """All that tell of it agree."""
    short, long = initiator.good("34" + "00" * 9), initiator.good("34 06" + "00" * 8)
    extended = initiator.good("34 08 00 00 00 00 00 00 20 00")
    active = initiator.good("1a 08 10 00 ff 00")[4 + 3]
    [number] = {short[1], int.from_bytes(long[4:8], "big"), extended[1], active}
    return number


def page_of(initiator: UnitInitiator, control: int = 0) -> tuple[int, ...]:
    """Additional partitions, at most and now, flags, power of ten, and sizes."""
    page = initiator.good(bytes((0x1A, 8, control << 6 | 0x11, 0, 0xFF, 0)))[4:]
    assert page[:2] == bytes((0x11, 10))
    most, now, flags, recognition, power, first, second = struct.unpack(">BBBBBxHH", page[2:])
    if control != 1:
        assert recognition == 3
    return most, now, flags, power, first, second


def test_each_partition_has_its_own_objects(partitioned: UnitInitiator) -> None:
    put(partitioned, b"main", None, b"more")
    partitioned.good(locate(0, 1))
    assert partition_of(partitioned) == 1
    assert partitioned.code(read(4)) == "08/00/05"
    put(partitioned, b"index", None)
    partitioned.good(REWIND)
    assert (partition_of(partitioned), position(partitioned)) == (1, (0, 0))
    assert partitioned.good(read(5)) == b"index"
    partitioned.good(locate_16(OBJECT, 2, 0))
    assert (partition_of(partitioned), position(partitioned)) == (0, (2, 1))
    assert partitioned.good(read(4)) == b"more"
    partitioned.good(locate_16(END, 0, 1))
    assert (partition_of(partitioned), position(partitioned)) == (1, (2, 1))


def test_a_command_stays_in_its_partition(partitioned: UnitInitiator) -> None:
    put(partitioned, b"a", None, b"b", None)
    partitioned.good(locate(0, 1))
    put(partitioned, b"c", None)
    partitioned.good(REWIND)
    assert brief(partitioned.sense(space(FILEMARKS, 2))) == ("08/00/05", 1, "")
    assert brief(partitioned.sense(space(FILEMARKS, -3))) == ("00/00/04", 2, "E")
    partitioned.good("19 01 00 00 00 00")
    assert partitioned.code(read(1)) == "08/00/05"
    assert partitioned.code(locate(1)) == "08/00/05"
    partitioned.good(locate(2, 0))
    assert partitioned.good(read(1)) == b"b"


def test_partitions_that_there_are_not(partitioned: UnitInitiator) -> None:
    put(partitioned, b"one")
    assert partitioned.code(locate(0, 2)) == "05/24/00"
    assert partitioned.code(locate_16(OBJECT, 0, 2)) == "05/24/00"
    assert partitioned.code(locate_16(2, 0, 1)) == "05/24/00"
    assert (partition_of(partitioned), position(partitioned)) == (0, (1, 0))


def test_each_partition_ends_where_it_should(partitioned: UnitInitiator) -> None:
    """With its own early warning, and what the log says is left."""
    block = bytes(992)  # 1000 with its lengths

    def left() -> tuple[int, ...]:
        log = partitioned.good("4d 00 71 00 00 00 00 ff ff 00")[4:]
        return tuple(value for _, value in struct.iter_unpack(">HxxI", log))

    for partition, blocks in ((0, 134), (1, 66)):
        partitioned.good(locate(0, partition))
        warned = blocks - blocks // 16
        for number in range(1, blocks + 1):
            answer = partitioned.run(write(len(block)), block)
            assert bool(answer.status) == (number >= warned), (partition, number)
        assert brief(partitioned.sense(filemarks(300))) == ("0d/00/02", 300, "E")
        assert brief(partitioned.sense(write(992), block)) == ("0d/00/02", 992, "E")
    assert left() == (0, 0, 0, 0)  # MiB


def test_the_log_tells_of_both_partitions(make_tape: MakeTape) -> None:
    initiator = make_tape(capacity=64 << 20)
    choose_partitions(initiator, REST, 20, power=6)
    initiator.good(format_medium(AS_CHOSEN))
    put(initiator, bytes(10 << 20))
    initiator.good(locate(0, 1))
    put(initiator, bytes(5 << 20))
    initiator.good(REWIND)
    log = initiator.good("4d 00 71 00 00 00 00 ff ff 00")[4:]
    assert [value for _, value in struct.iter_unpack(">HxxI", log)] == [34, 19, 44, 19]


# ---- making them -------------------------------------------------------------------------------


def test_what_the_page_tells(make_tape: MakeTape) -> None:
    initiator = make_tape(capacity=CAPACITY)
    one = (1, 0, 0x1C, 1, CAPACITY // 10, 0)
    assert page_of(initiator) == one
    choose_partitions(initiator, REST, 66)
    assert page_of(initiator) == (1, 1, 0x3C, 3, REST, 66)  # what was chosen, until it is made
    initiator.good(format_medium(AS_CHOSEN))
    assert page_of(initiator) == (1, 1, 0x3C, 1, 13400, 6600)
    assert page_of(initiator, 1) == (0, 1, 0xF8, 0x0F, REST, REST)
    assert page_of(initiator, 2) == one
    initiator.good(format_medium(ONE_PARTITION))
    assert page_of(initiator) == one


def test_large_tapes_are_told_in_larger_units(initiator: UnitInitiator) -> None:
    assert page_of(initiator)[3:] == (7, 10000, 0)  # 100 GB


@pytest.mark.parametrize("flags", [BY_DRIVE, SELECTED])
def test_sizes_that_the_drive_chooses(make_tape: MakeTape, flags: int) -> None:
    initiator = make_tape(capacity=16 * 65536)
    choose_partitions(initiator, 0, 0, flags=flags)
    initiator.good(format_medium(AS_CHOSEN))
    assert page_of(initiator)[3:] == (2, 15 * 65536 // 100, 65536 // 100)


@pytest.mark.parametrize(
    ("unit", "power", "number", "size"),
    [
        (0x00, 0, 65534, None),
        (0x08, 9, 1000, 10**6),
        (0x10, 9, 999, 999 * 10**6),
        (0x18, 5, 1000, 10**8),
    ],
)
def test_units_of_sizes(
    make_tape: MakeTape, cartridge: Path, unit: int, power: int, number: int, size: int | None
) -> None:
    """The power of ten counts if no other unit is chosen. In bytes no size is large enough."""
    initiator = make_tape(capacity=10**9)
    page = bytearray(partition_page(number, REST, power=power))
    page[8] = page[8] & ~0x18 | unit
    if size is None:
        assert initiator.code("15 10 00 00 10 00", bytes(page)) == "05/26/00"
        return
    initiator.good("15 10 00 00 10 00", bytes(page))
    initiator.good(format_medium(AS_CHOSEN))
    sizes = cartridge.with_name("tape.tap.partitions").read_text()
    assert sizes == f"[{size},{10**9 - size}]"


@pytest.mark.parametrize(
    ("page", "place"),
    [
        (partition_page(REST, 65), 12),  # too small
        (partition_page(135, 66), 12),  # together larger than the tape
        (partition_page(REST, REST), 12),
        (partition_page(REST, 66, flags=BY_DRIVE | BY_INITIATOR), 8),
        (bytes((*partition_page()[:7], 2, *partition_page()[8:])), 7),  # three partitions
        (bytes((*partition_page()[:6], 2, *partition_page()[7:])), 6),
    ],
)
def test_partitions_that_cannot_be(make_tape: MakeTape, page: bytes, place: int) -> None:
    initiator = make_tape(capacity=CAPACITY)
    sense = initiator.sense("15 10 00 00 10 00", page)
    assert sense[:3] == (5, 0x26, 0)
    assert int.from_bytes(sense.specific[1:], "big") == place


def test_format_needs_the_beginning_of_the_tape(partitioned: UnitInitiator) -> None:
    partitioned.good(locate(0, 1))
    assert partitioned.code(format_medium(AS_CHOSEN)) == "05/3b/0c"
    partitioned.good(locate(0, 0))
    put(partitioned, b"one")
    assert partitioned.code(format_medium(ONE_PARTITION)) == "05/3b/0c"
    partitioned.good(REWIND)
    assert partitioned.code(format_medium(3)) == "05/24/00"
    assert partitioned.good(read(3)) == b"one"


def test_format_blanks_the_tape(partitioned: UnitInitiator, cartridge: Path) -> None:
    put(partitioned, b"one")
    partitioned.good(REWIND)
    partitioned.good(format_medium(2))
    assert partitioned.code(read(3)) == "08/00/05"
    partitioned.good(locate(0, 1))
    partitioned.good(locate(0, 0))
    partitioned.good(format_medium(ONE_PARTITION))
    assert [path.name for path in cartridge.parent.iterdir()] == ["tape.tap"]
    assert partitioned.code(locate(0, 1)) == "05/24/00"


def test_a_protected_tape_is_not_formatted(partitioned: UnitInitiator, make_tape: MakeTape) -> None:
    put(partitioned, b"one")
    initiator = make_tape(read_only=True)
    assert initiator.code(format_medium(ONE_PARTITION)) == "07/27/00"
    assert initiator.good(read(3)) == b"one"


def test_a_format_that_fails(
    make_tape: MakeTape, monkeypatch: pytest.MonkeyPatch, cartridge: Path
) -> None:
    """The tape is blank, and has one partition."""
    initiator = make_tape(capacity=CAPACITY)
    put(initiator, b"one")
    initiator.good(REWIND)
    choose_partitions(initiator, REST, 66)

    def fail(file: DurableFile, content: bytes) -> None:
        if content:
            raise OSError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(DurableFile, "write", fail)
        assert initiator.code(format_medium(AS_CHOSEN)) == "03/31/01"
    assert initiator.code(locate(0, 1)) == "05/24/00"
    assert initiator.code(read(3)) == "08/00/05"
    initiator.good(format_medium(AS_CHOSEN))
    initiator.good(locate(0, 1))


# ---- cartridges --------------------------------------------------------------------------------


def test_a_cartridge_keeps_its_partitions(
    partitioned: UnitInitiator, make_tape: MakeTape, cartridge: Path
) -> None:
    """In another drive too, whose tapes are longer."""
    partitioned.good(locate(0, 1))
    put(partitioned, b"index")
    assert (cartridge.with_name("tape.tap.partition-1")).read_bytes() == b"\5\0\0\0index\0\5\0\0\0"
    assert (cartridge.with_name("tape.tap.partitions")).read_text() == "[134000,66000]"
    partitioned.good(UNLOAD)
    partitioned.good(LOAD)
    assert partition_of(partitioned) == 0
    other = make_tape()
    assert page_of(other)[3:] == (1, 13400, 6600)
    other.good(locate(0, 1))
    assert other.good(read(5)) == b"index"


def test_what_was_chosen_for_one_cartridge_is_not_for_the_next(make_tape: MakeTape) -> None:
    initiator = make_tape(capacity=CAPACITY)
    choose_partitions(initiator, REST, 66)
    initiator.good(LOAD)
    initiator.good(format_medium(AS_CHOSEN))
    assert initiator.code(locate(0, 1)) == "05/24/00"


@pytest.mark.parametrize("content", ["[70000]", "[1, 2]", "[70000, 70000, 70000]", "two", "{}"])
def test_partitions_that_are_none(make_tape: MakeTape, cartridge: Path, content: str) -> None:
    cartridge.with_name("tape.tap.partitions").write_text(content)
    with pytest.raises(UsageError, match=r"partitions of a tape, .*tape.tap.partitions: "):
        make_tape()


def test_a_partition_that_is_missing(
    partitioned: UnitInitiator, tmp_path: Path, cartridge: Path
) -> None:
    unit = partitioned.unit
    assert isinstance(unit, Tape)
    unit.remove()
    cartridge.with_name("tape.tap.partition-1").unlink()
    with pytest.raises(UsageError, match=r"tape.tap.partition-1: No such file"):
        unit.insert(cartridge)
    assert unit.cartridge is None
    assert partitioned.code(TO_END) == "02/3a/00"
