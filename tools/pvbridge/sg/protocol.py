"""What `pvbridge sg` and programs with libpvsg.so say to each other: protocol.h, from this side."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple, Self

from pvdrivers.ring.errors import PeerError
from pvdrivers.scsi.address import ScsiAddress

MAGIC, VERSION = 0x67737670, 1
NO_TIMEOUT = 0xFFFFFFFF
HELLO, WELCOME = struct.Struct("=6I"), struct.Struct("=3I")
REQUEST, ANSWER = struct.Struct("=4IB32s3x"), struct.Struct("=3Bx2I96s")


class Act(IntEnum):
    COMMAND = 1
    RESET = 2


def parse_hello(data: bytes) -> ScsiAddress:
    """PeerError: it is none, or of another version."""
    magic, version, *address = HELLO.unpack(data)
    if magic != MAGIC:
        raise PeerError(f"a connection begins with {data[:4].hex()}")
    if version != VERSION:
        raise PeerError(f"a program speaks version {version} of the protocol, not {VERSION}")
    return ScsiAddress(*address)


class Request(NamedTuple):
    act: Act
    timeout: float | None  # seconds
    data_out: int
    room: int
    cdb: bytes

    @classmethod
    def parse(cls, data: bytes, max_transfer: int) -> Self:
        """PeerError: it is no request, or has more data than can be."""
        act, timeout, data_out, room, length, cdb = REQUEST.unpack(data)
        if act not in set(Act):
            raise PeerError(f"a program asks for act {act}")
        if max(data_out, room) > max_transfer or (data_out and room):
            raise PeerError(f"a program sends {data_out} bytes and has room for {room}")
        if act == Act.COMMAND and not 1 <= length <= len(cdb):
            raise PeerError(f"a program sends a CDB of {length} bytes")
        if act == Act.RESET and (data_out or room):
            raise PeerError("a program sends a RESET with data")
        seconds = None if timeout == NO_TIMEOUT else timeout / 1000
        return cls(Act(act), seconds, data_out, room, cdb[:length])
