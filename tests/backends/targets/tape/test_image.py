"""Tapes in SIMH's format: what ours are, and what those of others may be."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.backends.targets.tape.image import ImageError, Position, TapeImage, TapeObject
from pvdrivers.ring.errors import UsageError

GAP, HALF_GAP, END = b"\xfe\xff\xff\xff", b"\xff\xff\xfe\xff", b"\xff" * 4
MARK = bytes(4)


def record(data: bytes, kind: int = 0) -> bytes:
    length = struct.pack("<I", kind << 28 | len(data))
    return length + data + bytes(len(data) % 2) + length


def image_of(tmp_path: Path, content: bytes) -> TapeImage:
    path = tmp_path / "some.tap"
    path.write_bytes(content)
    return TapeImage.open(path)


def objects(image: TapeImage) -> list[TapeObject]:
    found, position = [], Position()
    while one := image.after(position):
        found.append(one)
        position = one.end
    return found


def content(image: TapeImage) -> list[bytes | None]:
    return [None if one.is_filemark else image.read(one, 1000) for one in objects(image)]


def backwards(image: TapeImage) -> list[bytes | None]:
    found: list[bytes | None] = []
    position = Position(image.size, 99, 99)
    while one := image.before(position):
        found.append(None if one.is_filemark else image.read(one, 1000))
        position = one.start
    return found[::-1]


def test_what_is_written(tmp_path: Path) -> None:
    image = image_of(tmp_path, b"")
    position = image.append(Position(), [memoryview(b"odd"), memoryview(b"even")])
    position = image.append_filemarks(position, 2)
    assert position == Position(32, 4, 2)
    assert image.path.read_bytes() == (
        b"\3\0\0\0odd\0\3\0\0\0" + b"\4\0\0\0even\4\0\0\0" + bytes(8)
    )
    assert content(image) == backwards(image) == [b"odd", b"even", None, None]


def test_many_records_in_one_go(tmp_path: Path) -> None:
    image = image_of(tmp_path, b"")
    records = [bytes((n % 256,)) * (n % 7 + 1) for n in range(1000)]
    end = image.append(Position(), [*map(memoryview, records)])
    assert end == Position(image.size, 1000, 0)
    assert content(image) == records


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (b"", []),
        (MARK + MARK, [None, None]),
        (record(b"one") + END + record(b"behind"), [b"one"]),
        (record(b"one") + GAP * 3 + record(b"two") + GAP, [b"one", b"two"]),
        (GAP + MARK + GAP, [None]),
        (record(b"one") + b"\xfe\xff" + record(b"two"), None),
        (record(b"one") + b"\xff\xff" + GAP + record(b"two"), [b"one", b"two"]),
        (record(b"note", kind=0xE) + record(b"one") + record(b"private", kind=3), [b"one"]),
        (b"\1\2\3\x74" + record(b"one"), [b"one"]),
        (record(b"bad", kind=8) + record(b"", kind=8), [b"bad", b""]),
        (record(b"one") + b"\3\0", [b"one"]),
    ],
)
def test_tapes_of_others(
    tmp_path: Path, stored: bytes, expected: list[bytes | None] | None
) -> None:
    image = image_of(tmp_path, stored)
    if expected is None:
        with pytest.raises(ImageError):
            content(image)
    else:
        assert content(image) == expected


@pytest.mark.parametrize(
    "stored",
    [
        GAP + record(b"one") + GAP + GAP + record(b"22", kind=4) + MARK + GAP,
        record(b"one") + b"\xff\xff" + GAP + MARK,
        record(b"one", kind=8) + b"\xff\xff" + GAP + GAP + MARK + b"\xff\xff" + GAP,
    ],
)
def test_backwards_over_what_is_no_object(tmp_path: Path, stored: bytes) -> None:
    assert backwards(image_of(tmp_path, stored)) == [b"one", None]


def test_a_bad_record_is_told_from_a_good_one(tmp_path: Path) -> None:
    image = image_of(tmp_path, record(b"good") + record(b"bad", kind=8))
    assert [one.is_bad for one in objects(image)] == [False, True]
    last = image.before(Position(image.size, 2, 0))
    assert last
    assert last.is_bad


def test_positions_are_the_same_from_both_sides(tmp_path: Path) -> None:
    image = image_of(tmp_path, record(b"one") + MARK + record(b"two") + MARK)
    found = objects(image)
    position = found[-1].end
    for one in reversed(found):
        assert image.before(position) == one
        position = one.start
    assert position == Position()


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (b"#!/bin/sh\necho no tape\n", "the record at byte 0 ends beyond the end of the file"),
        (b"\4\0\0\0four\5\0\0\0", "the two lengths of the record at byte 0 differ"),
        (b"\4\0\0\0fo", "the record at byte 0 ends beyond the end of the file"),
    ],
)
def test_a_file_that_is_no_tape(tmp_path: Path, stored: bytes, reason: str) -> None:
    with pytest.raises(UsageError) as error:
        image_of(tmp_path, stored)
    assert str(error.value) == (
        f"{tmp_path}/some.tap is no tape image in SIMH format (.tap), or a damaged one: {reason};"
        " an empty file is a blank tape"
    )


def test_damage_further_on_is_found_there(tmp_path: Path) -> None:
    image = image_of(tmp_path, record(b"one") + record(b"two")[:-1])
    first = image.after(Position())
    assert first
    with pytest.raises(ImageError, match="the record at byte 12 ends beyond"):
        image.after(first.end)
    with pytest.raises(ImageError, match="the two lengths of the record at byte 3 differ"):
        image_of(tmp_path, MARK + record(b"two")[1:]).before(Position(15, 2, 1))


def test_files_that_are_no_regular_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        TapeImage.open(tmp_path / "none")
    with pytest.raises(UsageError, match="Is a directory"):
        TapeImage.open(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="not a regular file"):
        TapeImage.open(tmp_path / "fifo")


def test_a_write_that_ends_anywhere_leaves_what_begins_as_a_tape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The length that a file begins with comes last."""
    image, pwritev = image_of(tmp_path, b""), os.pwritev
    seen = []

    def write(fd: int, parts: Sequence[bytes], offset: int) -> int:
        data = b"".join(parts)
        for cut in range(len(data)) if offset else ():
            os.pwrite(fd, data[:cut], offset)
            TapeImage.open(image.path).close()
            seen.append(cut)
        return pwritev(fd, parts, offset)

    monkeypatch.setattr(os, "pwritev", write)
    image.append(Position(), [memoryview(b"one")])
    assert len(seen) == 8
    assert content(image) == [b"one"]


RECORDS = st.builds(record, st.binary(min_size=1, max_size=9), st.sampled_from([0, 0, 0, 8, 3, 14]))
OBJECTS = st.just(MARK) | RECORDS
HALF_OVERWRITTEN = OBJECTS.map(lambda one: one + b"\xff\xff" + GAP)
PIECES = st.one_of(OBJECTS, HALF_OVERWRITTEN, st.sampled_from([GAP, b"\1\2\3\x74"]))
RUBBISH = st.sampled_from([END, HALF_GAP, b"\xff\xff", b"\xfe\xff"]) | st.binary(max_size=6)


@given(st.lists(PIECES, max_size=12).map(b"".join))
def test_any_tape_of_others(stored: bytes) -> None:
    """What is found on the way back is what was found before."""
    with tempfile.TemporaryDirectory() as folder:
        image = image_of(Path(folder), stored)
        found = objects(image)
        position = found[-1].end if found else Position()
        for expected in reversed(found):
            before = image.before(position)
            assert before
            assert before[2:] == expected[2:]
            position = before.start
        assert position == Position(position.offset)
        assert image.before(position) is None
        image.close()


@given(st.lists(PIECES | RUBBISH, max_size=12).map(b"".join), st.integers(0, 100))
def test_any_file(stored: bytes, offset: int) -> None:
    """It is refused, or both ways end somewhere."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            image = image_of(Path(folder), stored)
        except UsageError:
            return
        with suppress(ImageError):
            assert all(one.end.offset <= len(stored) for one in objects(image))
        position = Position(min(offset, len(stored)), 9, 1)
        with suppress(ImageError):
            while one := image.before(position):
                position = one.start
                assert min(position) >= 0
        image.close()


def test_simh_reads_it(tmp_path: Path) -> None:
    """mtdump lists records by their lengths."""
    if not shutil.which("mtdump"):
        pytest.skip("mtdump is missing (Debian package simh)")
    image = image_of(tmp_path, b"")
    position = image.append(Position(), [memoryview(bytes(n)) for n in (512, 512, 3)])
    position = image.append_filemarks(position, 1)
    position = image.append(position, [memoryview(bytes(10240))])
    image.append_filemarks(position, 2)
    command = ["mtdump", image.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    told = [line.split(", ", 1)[1] for line in done.stdout.splitlines() if line[:3] == "Obj"]
    assert told == [
        "position 0, record 1, length = 512 (0x200)",
        "position 520, record 2, length = 512 (0x200)",
        "position 1040, record 3, length = 3 (0x3)",
        "position 1052, end of tape file 1",
        "position 1056, record 1, length = 10240 (0x2800)",
        "position 11304, end of tape file 2",
        "position 11308, end of logical tape",
    ]
