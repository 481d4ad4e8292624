"""A tape in a file, as SIMH has it ("SIMH Magtape Representation and Handling").

A record is its length, its data, a byte of padding if their number is odd, and its length again;
lengths have 32 bits, little-endian. The upper four bits of a length say what the record is: 0 data,
8 data that could not be read, 7 a mark without data, others are not the tape's data either; what is
neither 0 nor 8 is skipped. A length of 0 alone is a filemark. FFFFFFFE is a gap, FFFEFFFF half of
one. FFFFFFFF ends the tape, as the file's end does.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from pvdrivers.ring.errors import UsageError

LARGEST_RECORD = 0xFFFFFF  # bytes; what a CDB can ask for

_WORD, _HALF = 4, 2
_FILEMARK, _GAP, _HALF_GAP, _END = 0x00000000, 0xFFFFFFFE, 0xFFFEFFFF, 0xFFFFFFFF
_DATA, _PRIVATE_MARK, _BAD_DATA, _MARK = 0x0, 0x7, 0x8, 0xF  # classes
_OPEN = os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO is refused, not waited for
_IN_ONE_WRITE = 256  # records; the kernel takes 1024 buffers


class Position(NamedTuple):
    """A place between two objects, which are records and filemarks.

    `offset`: in the file. `number`: of the objects before it. `file`: of the filemarks before it.
    `partition`: which image of the cartridge this is in; an image does not look at it.
    """

    offset: int = 0
    number: int = 0
    file: int = 0
    partition: int = 0

    def moved(self, offset: int, objects: int, filemarks: int = 0) -> Position:
        """To another place of the same image, over so many."""
        number, file = self.number + objects, self.file + filemarks
        return Position(offset, number, file, self.partition)


class TapeObject(NamedTuple):
    """`length`: of a record; None: a filemark. `place`: of the record's data in the file.
    `is_bad`: the record could not be read when the image was made."""

    start: Position
    end: Position
    length: int | None
    place: int
    is_bad: bool = False

    @property
    def is_filemark(self) -> bool:
        return self.length is None


class ImageError(Exception):
    """The file is damaged. One sentence says where, and how."""


class TapeImage:
    """It knows no position of its own. OSError: the file cannot be read, or be written."""

    def __init__(self, path: Path, fd: int, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._fd = fd

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """An empty file is a blank tape. One that may not be written is opened to be read.

        UsageError: there is none, it cannot be opened, or its content is no tape.
        """
        try:
            fd, read_only = _open(path, read_only)
        except OSError as error:
            raise UsageError(f"tape image {path}: {error.strerror}") from error
        image = cls(path, fd, read_only=read_only)
        try:
            image._check_format()
        except UsageError:
            image.close()
            raise
        return image

    def _check_format(self) -> None:
        """By the first object, since a tape may be long."""
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            raise UsageError(f"tape image {self.path}: not a regular file")
        try:
            self.after(Position())
        except ImageError as error:
            raise UsageError(
                f"{self.path} is no tape image in SIMH format (.tap), or a damaged one: {error};"
                " an empty file is a blank tape"
            ) from error

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    # ---- finding -----------------------------------------------------------------------------

    def after(self, position: Position) -> TapeObject | None:
        """What begins there; None: the tape ends. ImageError."""
        offset = position.offset
        while (word := self._word(offset)) != _END:
            step = _mark_size(word)
            if word == _FILEMARK:
                return _filemark(position, offset + _WORD)
            if step:
                offset += step
                continue
            end = offset + _record_size(word)
            if self._word(end - _WORD) != word:
                raise self._damaged(offset, end)
            if _is_data(word):
                return _record(position, position.moved(end, 1), word, offset + _WORD)
            offset = end
        return None

    def before(self, position: Position) -> TapeObject | None:
        """What ends there; None: the tape begins. ImageError."""
        offset = position.offset
        while position.number and offset >= _WORD:
            word = self._word(offset - _WORD)
            step = _HALF if _ends_with_half_gap(word) else _mark_size(word)
            if word == _FILEMARK:
                passed = min(position.file, 1)  # in a damaged image there may be more than before
                start = position.moved(offset - _WORD, -1, -passed)
                return TapeObject(start, position, None, offset)
            if step:
                offset -= step
                continue
            begin = offset - _record_size(word)
            if begin < 0 or self._word(begin) != word:
                raise self._damaged(max(begin, 0), offset)
            if _is_data(word):
                return _record(position.moved(begin, -1), position, word, begin + _WORD)
            offset = begin
        return None

    def _word(self, offset: int) -> int:
        """What ends the tape, beyond the end of the file."""
        data = os.pread(self._fd, _WORD, offset)
        return int.from_bytes(data, "little") if len(data) == _WORD else _END

    def _damaged(self, start: int, end: int) -> ImageError:
        if end > self.size:
            return ImageError(f"the record at byte {start} ends beyond the end of the file")
        return ImageError(f"the two lengths of the record at byte {start} differ")

    # ---- content -----------------------------------------------------------------------------

    def read(self, record: TapeObject, most: int) -> bytes:
        """Its first bytes."""
        return os.pread(self._fd, min(record.length or 0, most), record.place)

    def cut(self, offset: int) -> None:
        """The tape ends there from now on."""
        os.ftruncate(self._fd, offset)

    def append(self, position: Position, records: Sequence[memoryview]) -> Position:
        """Records of 1 to `LARGEST_RECORD` bytes at the tape's end, which is `position`; returns
        the new end. OSError: nothing was written."""
        offset = position.offset
        try:
            for first in range(0, len(records), _IN_ONE_WRITE):
                some = records[first : first + _IN_ONE_WRITE]
                self._write([part for record in some for part in _encode(record)], offset)
                offset += sum(map(record_space, map(len, some)))
        except OSError:
            self.cut(position.offset)
            raise
        return position.moved(offset, len(records))

    def append_filemarks(self, position: Position, count: int) -> Position:
        """As `append`."""
        space = count * FILEMARK_SPACE
        try:
            self._write([bytes(space)], position.offset)
        except OSError:
            self.cut(position.offset)
            raise
        return position.moved(position.offset + space, count, count)

    def _write(self, parts: Sequence[bytes | memoryview], offset: int) -> None:
        """The first word of a file comes last. Whenever the process is killed, it begins as a tape
        does, and can be opened again."""
        if offset == 0:
            self._write_all(parts[1:], _WORD)
            self._write_all(parts[:1], 0)
        else:
            self._write_all(parts, offset)

    def _write_all(self, parts: Sequence[bytes | memoryview], offset: int) -> None:
        if parts and os.pwritev(self._fd, parts, offset) != sum(map(len, parts)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def flush(self) -> None:
        """What was written is on the medium of the file when this returns."""
        if not self.read_only:
            os.fdatasync(self._fd)

    def close(self) -> None:
        """A second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __repr__(self) -> str:
        return f"<TapeImage {self.path}{', read-only' if self.read_only else ''}>"


FILEMARK_SPACE = _WORD


def record_space(length: int) -> int:
    """Bytes of the file that a record of so many takes."""
    return length + (length & 1) + 2 * _WORD


def _open(path: Path, read_only: bool) -> tuple[int, bool]:
    if not read_only:
        try:
            return os.open(path, os.O_RDWR | _OPEN), False
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
    return os.open(path, os.O_RDONLY | _OPEN), True


def _encode(record: memoryview) -> tuple[bytes | memoryview, ...]:
    length = len(record).to_bytes(_WORD, "little")
    return length, record, bytes(len(record) & 1) + length


def _mark_size(word: int) -> int:
    """Of a mark; 0: it is a record's length."""
    if word == _HALF_GAP:
        return _HALF
    return _WORD if word >> 28 in (_PRIVATE_MARK, _MARK) else 0


def _ends_with_half_gap(word: int) -> bool:
    """What is read backwards where something has been written over a half of a gap: FFFF, behind
    the upper half of another word, which is no gap."""
    return word >> 16 == 0xFFFF and word & 0xF000 != 0xF000


def _is_data(word: int) -> bool:
    return word >> 28 in (_DATA, _BAD_DATA)


def _record_size(word: int) -> int:
    return record_space(word & 0x0FFFFFFF)


def _filemark(position: Position, end: int) -> TapeObject:
    return TapeObject(position, position.moved(end, 1, 1), None, end)


def _record(start: Position, end: Position, word: int, place: int) -> TapeObject:
    return TapeObject(start, end, word & 0x0FFFFFFF, place, is_bad=word >> 28 == _BAD_DATA)
