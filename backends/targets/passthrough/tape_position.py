"""Where a tape stands, so that what has become of a command can be told when its answer is lost.

A write was carried out if the tape stands behind it, and was not if the tape stands where it stood
before. What only moves the tape, READ and SPACE, is done again from there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.scsi.result import Status

READ_POSITION = bytes.fromhex("34 00 00 00 00 00 00 00 00 00")  # short form
_SIZE = 20
_UNKNOWN = 0x04  # BPU or LOLU: the place is not known
_FIXED = 0x01
_READ, _WRITE, _MARKS, _MOVES = 0x08, 0x0A, 0x10, (0x08, 0x0F, 0x11, 0x13, 0x91)
Send = Callable[[Command], Awaitable[Answer]]


class TapePosition:
    def __init__(self) -> None:
        self._place: int | None = None  # partition and object, as LOCATE(10) has them

    async def find(self, nexus: Nexus, send: Send) -> int | None:
        """None: the device does not say."""
        if self._place is None:
            answer = await send(Command(nexus, READ_POSITION, room=_SIZE))
            data = bytes(answer.data)
            if answer.status == Status.GOOD and len(data) >= 8 and not data[0] & _UNKNOWN:
                self._place = int.from_bytes(data[1:2] + data[4:8], "big")
        return self._place

    def follow(self, cdb: bytes, answer: Answer) -> None:
        """What a command has done to the place, so that a stream of blocks needs no question."""
        if not moves(cdb):
            return
        objects = _objects(cdb)
        if self._place is not None and objects is not None and answer.status == Status.GOOD:
            self._place += objects
        else:
            self.forget()

    def forget(self) -> None:
        self._place = None

    @staticmethod
    def locate(nexus: Nexus, place: int) -> Command:
        """LOCATE(10), with change of partition."""
        cdb = b"\x2b\x02\0" + (place & 0xFFFFFFFF).to_bytes(4, "big")
        return Command(nexus, cdb + bytes((0, place >> 32, 0)))


def moves(cdb: bytes) -> bool:
    """Whether the tape may stand elsewhere after it."""
    return cdb[0] not in (0x00, 0x03, 0x05, 0x12, 0x15, 0x1A, 0x1E, 0x34, 0x44, 0x4D, 0x55, 0x5A)


def only_moves(cdb: bytes) -> bool:
    return cdb[0] in _MOVES


def written_objects(cdb: bytes) -> int | None:
    """How many objects a write puts on the tape; None: it is no write whose end can be told."""
    return _objects(cdb) if cdb[0] in (_WRITE, _MARKS) else None


def _objects(cdb: bytes) -> int | None:
    """How far the tape goes if all is well."""
    if cdb[0] not in (_READ, _WRITE, _MARKS):
        return None
    count = int.from_bytes(cdb[2:5], "big")
    if cdb[0] == _MARKS or cdb[1] & _FIXED:
        return count
    return 1 if count else 0
