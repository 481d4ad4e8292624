"""A command that every target gets, and how one is written down."""

from __future__ import annotations

import struct
from typing import NamedTuple

BLOCKS = 16384
BLOCK = b"pvdrivers".ljust(512, b".")
OTHER = b"another block".ljust(512, b".")


class Case(NamedTuple):
    """`initiator`: who of two sends it. Of targets with one initiator the others are left out."""

    name: str
    cdb: bytes
    data: bytes = b""
    room: int = 0
    initiator: int = 1


def ask(name: str, cdb: str, room: int = 252, initiator: int = 1) -> Case:
    return Case(name, bytes.fromhex(cdb), b"", room, initiator)


def tell(name: str, cdb: str, data: str | bytes = b"", initiator: int = 1) -> Case:
    sent = bytes.fromhex(data) if isinstance(data, str) else data
    return Case(name, bytes.fromhex(cdb), sent, 0, initiator)


def unmap(*ranges: tuple[int, int], length: int | None = None) -> bytes:
    """A parameter list, whose lengths are right unless another one is told."""
    descriptors = b"".join(struct.pack(">QIxxxx", *one) for one in ranges)
    size = len(descriptors) if length is None else length
    return struct.pack(">HHxxxx", 6 + size, size) + descriptors


def reserve(
    name: str, action: int, kind: int = 0, keys: tuple[int, int] = (0, 0), initiator: int = 1
) -> Case:
    cdb = bytes((0x5F, action, kind, 0, 0, 0, 0, 0, 24, 0))
    return Case(name, cdb, struct.pack(">QQ8x", *keys), 0, initiator)
