"""What a logical unit remembers over a kill: its small state, and what it has answered.

A command that is not idempotent, such as RESERVE or a tape's WRITE, may have been carried out when
the process was killed before its initiator was told. The successor is given the same command again,
under the same identity:

    if (answer := journal.answer_of(command.identity)) is not None:
        return answer
    answer = ...                                     the new state follows from the command
    journal.commit(state, command.identity, answer)  from here on it has happened
    return answer

An effect elsewhere has to be one that can be had twice, as what a tape writes goes to the place
that the committed state names: it comes first, and the commit behind it makes it count.

The journal lies in a file that is mapped shared, so what is stored in it is there after SIGKILL; it
is not made for a loss of power. A process that is killed stops between two stores or within one.
There are two places for the state, which commits use in turn, and a checksum says whether one is
whole: a commit that was not finished leaves the one before it. Each place has the answer of its
commit beside the state; the table, which keeps the answers of the last `ANSWERS` commits, gets it
afterwards, and again from the successor.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from pvdrivers._core import ffi
from pvdrivers.backends.inflight import InflightFile
from pvdrivers.backends.targets.command import Answer
from pvdrivers.scsi.sense import MAX_SENSE

IDENTITY = 16  # bytes
MAX_DATA = 64  # bytes of an answer's data
ANSWERS = 1024

_HEADER = struct.Struct("<IIQ")
"""Checksum of all that follows, bytes of state, number of the commit."""
_ANSWER = struct.Struct(f"<IIQ{IDENTITY}sBBBBI{MAX_SENSE}s{MAX_DATA}s")
"""Checksum of all that follows, 0, number of the answer, identity, status, host byte, bytes of
sense and of data, `unused`, sense, data."""


def journal_size(room: int) -> int:
    """Bytes of a journal for states of up to `room` bytes."""
    return 2 * _place_size(room) + ANSWERS * _ANSWER.size


def _place_size(room: int) -> int:
    return _HEADER.size + _ANSWER.size + room


class Journal:
    """`state` is what was committed last; None: nothing ever was."""

    def __init__(self, memory: Any, room: int) -> None:
        """`memory`: a writable buffer of `journal_size(room)` bytes, zeros or an earlier
        journal."""
        self.state: bytes | None = None
        self._memory = memory
        self._room = room
        self._file: InflightFile | None = None  # keeps the memory
        self._commits = 0
        self._number = 0  # of the last answer
        self._answer = bytes(_ANSWER.size)  # that, as it is stored
        self._answers: dict[bytes, Answer] = {}
        self._table: list[bytes] = [b""] * ANSWERS  # the identity of each
        self._take_up()

    @classmethod
    def open(cls, file: InflightFile | None, room: int) -> Journal:
        """That of an earlier process, if there is one. None, or when there can be no file: in
        memory that ends with this process. The journal keeps the file as long as it is there."""
        size = journal_size(room)
        [log] = file.map([size]) if file else [None]
        if log is None or log.address == ffi.NULL:
            return cls(bytearray(size), room)
        journal = cls(memoryview(ffi.buffer(log.address, size)).cast("B"), room)
        journal._file = file
        return journal

    def answer_of(self, identity: bytes) -> Answer | None:
        """What a command was answered; None: it was not carried out. A command without an identity
        never was."""
        return self._answers.get(identity)

    def commit(self, state: bytes, identity: bytes = b"", answer: Answer | None = None) -> None:
        """Both have happened when this returns, or neither has. ValueError: there is no room."""
        if len(state) > self._room:
            raise ValueError(f"a state of {len(state)} bytes, {self._room} at most fit")
        kept = _encode(self._number + 1, identity, answer) if identity and answer else None
        if kept:
            self._number += 1
            self._answer = kept
        self._commits += 1
        self._write_place(self._commits, state)
        self.state = state
        if kept:
            self._keep(kept)

    # ---- what is stored --------------------------------------------------------------------

    def _write_place(self, number: int, state: bytes) -> None:
        content = self._answer + state
        head = _HEADER.pack(0, len(state), number)[4:]
        start = number % 2 * _place_size(self._room)
        body = start + _HEADER.size
        # In this order only to write less often: the checksum, not the order, says what is whole.
        self._memory[body : body + len(content)] = content
        checksum = zlib.crc32(head + content)
        self._memory[start:body] = checksum.to_bytes(4, "little") + head

    def _read_place(self, index: int) -> tuple[int, bytes, bytes] | None:
        """The number of its commit, the answer and the state; None: it is not whole."""
        start = index * _place_size(self._room)
        place = bytes(self._memory[start : start + _place_size(self._room)])
        checksum, length, number = _HEADER.unpack_from(place)
        end = _HEADER.size + _ANSWER.size + length
        if number == 0 or end > len(place) or zlib.crc32(place[4:end]) != checksum:
            return None
        return number, place[_HEADER.size : end - length], place[end - length : end]

    def _answer_place(self, number: int) -> slice:
        start = 2 * _place_size(self._room) + number % ANSWERS * _ANSWER.size
        return slice(start, start + _ANSWER.size)

    def _keep(self, stored: bytes) -> None:
        self._memory[self._answer_place(_number_of(stored))] = stored
        self._know(stored)

    def _know(self, stored: bytes) -> None:
        identity, answer = _decode(stored)
        place = _number_of(stored) % ANSWERS
        self._answers.pop(self._table[place], None)
        self._table[place] = identity
        self._answers[identity] = answer

    def _take_up(self) -> None:
        places = [place for index in (0, 1) if (place := self._read_place(index))]
        if not places:
            return
        self._commits, self._answer, self.state = max(places)
        self._number = _number_of(self._answer)
        for number in range(max(1, self._number - ANSWERS + 1), self._number):
            stored = bytes(self._memory[self._answer_place(number)])
            if _is_whole(stored) and _number_of(stored) == number:
                self._know(stored)
        if self._number:
            self._keep(self._answer)

    def __repr__(self) -> str:
        return f"<Journal, {self._commits} commits, {len(self._answers)} answers>"


def _encode(number: int, identity: bytes, answer: Answer) -> bytes:
    """ValueError: it has more than there is room for."""
    sense, data = answer.sense, bytes(answer.data)
    if len(identity) != IDENTITY or len(sense) > MAX_SENSE or len(data) > MAX_DATA:
        raise ValueError(
            f"an answer of {len(sense)} bytes of sense and {len(data)} of data under an identity"
            f" of {len(identity)}, there is room for {MAX_SENSE}, {MAX_DATA} and {IDENTITY}"
        )
    rest = _ANSWER.pack(
        0, 0, number, identity, answer.status, answer.host, len(sense), len(data), answer.unused,
        sense, data,
    )[4:]  # fmt: skip
    return zlib.crc32(rest).to_bytes(4, "little") + rest


def _decode(stored: bytes) -> tuple[bytes, Answer]:
    fields = _ANSWER.unpack(stored)
    _, _, _, identity, status, host, sense_size, data_size, unused, sense, data = fields
    return identity, Answer(status, data[:data_size], sense[:sense_size], unused, host)


def _number_of(stored: bytes) -> int:
    return int(_ANSWER.unpack(stored)[2])


def _is_whole(stored: bytes) -> bool:
    return zlib.crc32(stored[4:]) == int.from_bytes(stored[:4], "little")
