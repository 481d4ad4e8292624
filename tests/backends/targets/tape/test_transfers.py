"""READ and WRITE, in fixed blocks and in variable ones; filemarks; the end of data and of the
tape."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pvdrivers.backends.targets.tape.image import TapeImage
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .conftest import MakeTape
from .tape_commands import (
    FIXED,
    REWIND,
    SILI,
    TO_END,
    block_length,
    brief,
    filemarks,
    locate,
    position,
    put,
    read,
    write,
)

ERASE = "19 01 00 00 00 00"


def failed(initiator: UnitInitiator, cdb: bytes) -> tuple[bytes, tuple[str, int | None, str]]:
    """The data that come all the same, and the sense."""
    answer = initiator.run(cdb)
    assert answer.status == Status.CHECK_CONDITION
    sense = Sense.parse(answer.sense)
    assert sense
    return bytes(answer.data), brief(sense)


# ---- variable blocks ---------------------------------------------------------------------------


def test_blocks_are_read_as_they_were_written(initiator: UnitInitiator) -> None:
    put(initiator, b"first", b"2", b"the third")
    initiator.good(REWIND)
    assert [initiator.good(read(n)) for n in (5, 1, 9)] == [b"first", b"2", b"the third"]


def test_a_block_that_is_shorter_than_asked_for(initiator: UnitInitiator) -> None:
    put(initiator, b"short", b"next")
    initiator.good(REWIND)
    assert failed(initiator, read(8)) == (b"short", ("00/00/00", 3, "I"))
    assert initiator.good(read(4)) == b"next"
    initiator.good(REWIND)
    assert initiator.good(read(8, SILI)) == b"short"


def test_a_block_that_is_longer_than_asked_for(initiator: UnitInitiator) -> None:
    """The rest of it is gone."""
    put(initiator, b"long block", b"next")
    initiator.good(REWIND)
    assert failed(initiator, read(4)) == (b"long", ("00/00/00", -6, "I"))
    assert initiator.good(read(4)) == b"next"


def test_sili_silences_a_long_block_only_without_a_block_length(initiator: UnitInitiator) -> None:
    put(initiator, b"long block")
    initiator.good(REWIND)
    assert initiator.good(read(4, SILI)) == b"long"
    block_length(initiator, 4)
    initiator.good(REWIND)
    assert failed(initiator, read(4, SILI)) == (b"long", ("00/00/00", -6, "I"))


def test_the_residual_of_a_long_block_in_descriptor_format(initiator: UnitInitiator) -> None:
    """64 bits, negative."""
    put(initiator, b"long block")
    initiator.good(REWIND)
    initiator.good("15 10 00 00 10 00", "00 00 00 00 0a 0a 06 10 00 00 00 00 00 00 00 00")
    sense = initiator.sense(read(4))
    assert sense.information == (1 << 64) - 6
    assert sense.incorrect_length


def test_nothing_is_transferred_and_nothing_moves(initiator: UnitInitiator) -> None:
    put(initiator, b"block")
    initiator.good(REWIND)
    for cdb in (read(0), write(0), read(0, SILI)):
        assert initiator.good(cdb) == b""
        assert position(initiator) == (0, 0)
    assert initiator.good(read(5)) == b"block"


def test_the_largest_block(initiator: UnitInitiator) -> None:
    assert initiator.good("05 00 00 00 00 00") == bytes.fromhex("00 ff ff ff 00 01")
    data = os.urandom(0xFFFFFF)
    put(initiator, data)
    initiator.good(REWIND)
    assert initiator.good(read(0xFFFFFF)) == data


def test_data_that_are_missing(initiator: UnitInitiator) -> None:
    assert initiator.code(write(6), b"block") == "05/24/00"
    assert position(initiator) == (0, 0)


def test_data_beyond_the_block_are_not_used(initiator: UnitInitiator) -> None:
    assert initiator.run(write(5), b"block and more").unused == 9


# ---- fixed blocks ------------------------------------------------------------------------------


def test_fixed_blocks(initiator: UnitInitiator) -> None:
    block_length(initiator, 4)
    initiator.good(write(3, FIXED), b"aaaabbbbcccc")
    assert position(initiator) == (3, 0)
    initiator.good(REWIND)
    assert initiator.good(read(2, FIXED)) == b"aaaabbbb"
    assert initiator.good(read(4)) == b"cccc"


def test_fixed_blocks_need_a_length(initiator: UnitInitiator) -> None:
    for cdb in (read(1, FIXED), write(1, FIXED)):
        sense = initiator.sense(cdb, b"block")
        assert sense[:3] == (5, 0x24, 0)
        assert sense.specific == bytes((0xC8, 0, 1))  # byte 1, bit 0


def test_fixed_blocks_are_never_silent(initiator: UnitInitiator) -> None:
    block_length(initiator, 4)
    assert initiator.sense(read(1, FIXED | SILI)).specific == bytes((0xC9, 0, 1))


def test_another_length_among_fixed_blocks(initiator: UnitInitiator) -> None:
    put(initiator, b"aaaa", b"bbbb", b"another", b"dddd")
    block_length(initiator, 4)
    initiator.good(REWIND)
    assert failed(initiator, read(4, FIXED)) == (b"aaaabbbb", ("00/00/00", 2, "I"))
    assert initiator.good(read(1, FIXED)) == b"dddd"


def test_a_filemark_and_the_end_of_data_among_fixed_blocks(initiator: UnitInitiator) -> None:
    put(initiator, b"aaaa", None, b"bbbb")
    block_length(initiator, 4)
    initiator.good(REWIND)
    assert failed(initiator, read(5, FIXED)) == (b"aaaa", ("00/00/01", 4, "F"))
    assert failed(initiator, read(5, FIXED)) == (b"bbbb", ("08/00/05", 4, ""))


def test_more_fixed_blocks_than_a_command_may_have(initiator: UnitInitiator) -> None:
    block_length(initiator, 0xFFFF)
    assert initiator.code(read(0xFFFFFF, FIXED)) == "05/24/00"


# ---- marks and ends ----------------------------------------------------------------------------


def test_a_filemark_is_told_and_passed(initiator: UnitInitiator) -> None:
    put(initiator, b"one", None, b"two")
    initiator.good(REWIND)
    initiator.good(read(3))
    assert failed(initiator, read(3)) == (b"", ("00/00/01", 3, "F"))
    assert initiator.good(read(3)) == b"two"


def test_the_end_of_data(initiator: UnitInitiator) -> None:
    put(initiator, b"one")
    for _ in range(2):
        assert failed(initiator, read(3)) == (b"", ("08/00/05", 3, ""))
        assert position(initiator) == (1, 0)


def test_what_is_behind_a_write_is_gone(initiator: UnitInitiator) -> None:
    put(initiator, b"one", b"two", b"three", None)
    initiator.good(locate(1))
    put(initiator, b"2")
    assert initiator.code(read(3)) == "08/00/05"
    initiator.good(REWIND)
    assert [initiator.good(read(n)) for n in (3, 1)] == [b"one", b"2"]


@pytest.mark.parametrize("cdb", [filemarks(1), ERASE, "19 02 00 00 00 00"])
def test_what_is_behind_a_filemark_or_an_erasure_is_gone(
    initiator: UnitInitiator, cdb: bytes | str
) -> None:
    put(initiator, b"one", b"two")
    initiator.good(locate(1))
    initiator.good(cdb)
    assert initiator.code(read(3)) == "08/00/05"


def test_no_filemarks_flush(initiator: UnitInitiator, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[TapeImage] = []
    monkeypatch.setattr(TapeImage, "flush", lambda image: flushed.append(image))
    put(initiator, b"one", b"two")
    initiator.good(locate(1))
    initiator.good(filemarks(0, flags=1))
    assert not flushed
    initiator.good(filemarks(0))
    assert len(flushed) == 1
    assert initiator.good(read(3)) == b"two"


# ---- the end of the tape -----------------------------------------------------------------------


def test_early_warning_and_the_end(make_tape: MakeTape, cartridge: Path) -> None:
    initiator = make_tape(capacity=1 << 16)
    block = bytes(1016)  # 1024 with its lengths
    for _ in range(59):
        put(initiator, block)
    for number in range(60, 65):
        assert failed_write(initiator, write(1016), block) == ("00/00/02", 0, "E")
        assert position(initiator) == (number, 0)
    assert failed_write(initiator, write(1016), block) == ("0d/00/02", 1016, "E")
    assert failed_write(initiator, filemarks(1), b"") == ("0d/00/02", 1, "E")
    assert cartridge.stat().st_size == 1 << 16
    initiator.good(locate(63))
    assert initiator.good(read(1016)) == block


def failed_write(initiator: UnitInitiator, cdb: bytes, data: bytes) -> tuple[str, int | None, str]:
    return brief(initiator.sense(cdb, data))


def test_a_warning_where_initiators_want_it(make_tape: MakeTape) -> None:
    """Once, whenever writing comes there; the other warning follows, however far it came."""
    initiator = make_tape(capacity=8_000_000)
    page = "00 00 00 00 50 01 00 1c 01 02 00 02" + "00" * 24
    initiator.good("15 10 00 00 24 00", page)
    block = bytes(999_992)  # 1 000 000 with its lengths

    def flags() -> int:
        return initiator.good("34" + "00" * 9)[0]

    for _ in range(2):
        put(initiator, *[block] * 5)
        assert flags() == 0
        assert failed_write(initiator, write(999_992), block) == ("00/00/07", 0, "E")
        assert (flags(), position(initiator)) == (0x01, (6, 0))
        put(initiator, block, None)
        assert failed_write(initiator, write(900_000), bytes(900_000)) == ("00/00/02", 0, "E")
        assert flags() == 0x41
        initiator.good(REWIND)
    put(initiator, *[block] * 5, bytes(499_988))
    assert failed_write(initiator, filemarks(1), b"") == ("00/00/07", 0, "E")
    initiator.good(REWIND)
    assert failed_write(initiator, write(7_900_000), bytes(7_900_000)) == ("00/00/07", 0, "E")
    assert failed_write(initiator, filemarks(1), b"") == ("00/00/02", 0, "E")


def test_as_many_fixed_blocks_as_there_is_room_for(make_tape: MakeTape) -> None:
    initiator = make_tape(capacity=1 << 16, block_length=1016)
    data = os.urandom(70 * 1016)
    assert failed_write(initiator, write(70, FIXED), data) == ("0d/00/02", 6, "E")
    assert position(initiator) == (64, 0)
    initiator.good(REWIND)
    assert initiator.good(read(64, FIXED)) == data[: 64 * 1016]


def test_as_many_filemarks_as_there_is_room_for(make_tape: MakeTape) -> None:
    initiator = make_tape(capacity=1 << 16)
    assert failed_write(initiator, filemarks(20000), b"") == ("0d/00/02", 20000 - 16384, "E")
    assert position(initiator) == (16384, 16384)


def test_a_tape_that_is_longer_than_its_drive_allows(make_tape: MakeTape, cartridge: Path) -> None:
    """It is read to its end, and then nothing fits."""
    put(make_tape(), bytes(1 << 17), b"end")
    initiator = make_tape(capacity=1 << 16)
    initiator.good(read(1 << 17))
    assert initiator.good(read(3)) == b"end"
    assert failed_write(initiator, write(3), b"too") == ("0d/00/02", 3, "E")
    assert failed_write(initiator, filemarks(2), b"") == ("0d/00/02", 2, "E")


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, "0d/00/02"), (errno.EIO, "03/0c/00")]
)
def test_a_file_system_that_fails(
    initiator: UnitInitiator,
    tape: Tape,
    cartridge: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    expected: str,
) -> None:
    put(initiator, b"one")
    before = cartridge.read_bytes()

    def fail(fd: int, parts: object, offset: int) -> int:
        os.pwrite(fd, b"half of", offset)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", fail)
        assert initiator.code(write(3), b"two") == expected
        assert initiator.code(filemarks(1)) == expected
    assert cartridge.read_bytes() == before
    put(initiator, b"two")
    initiator.good(locate(1))
    assert initiator.good(read(3)) == b"two"


# ---- damage ------------------------------------------------------------------------------------


def test_a_block_that_cannot_be_read(make_tape: MakeTape, cartridge: Path) -> None:
    """One that the image says to be bad is passed; where it is damaged itself, the tape stays."""
    cartridge.write_bytes(b"\3\0\0\0one\0\3\0\0\0" + b"\3\0\0\x80bad\0\3\0\0\x80" + b"\5\0\0\0cut")
    initiator = make_tape()
    initiator.good(read(3))
    assert failed(initiator, read(3)) == (b"", ("03/11/00", 3, ""))
    assert position(initiator) == (2, 0)
    for _ in range(2):
        assert failed(initiator, read(5)) == (b"", ("03/11/00", 5, ""))
        assert position(initiator) == (2, 0)
    assert initiator.code(TO_END) == "03/11/00"
    put(initiator, b"new")
    initiator.good(locate(2))
    assert initiator.good(read(3)) == b"new"


def test_a_flush_that_fails(initiator: UnitInitiator, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(image: TapeImage) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(TapeImage, "flush", fail)
    assert initiator.code(filemarks(1)) == "03/0c/00"
