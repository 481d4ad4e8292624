"""CDBs and parameter lists of PERSISTENT RESERVE OUT, and what PERSISTENT RESERVE IN tells."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from pvdrivers.backends.targets.command import Answer
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator


class Out(IntEnum):
    """Service actions."""

    REGISTER = 0
    RESERVE = 1
    RELEASE = 2
    CLEAR = 3
    PREEMPT = 4
    PREEMPT_AND_ABORT = 5
    REGISTER_AND_IGNORE = 6
    REGISTER_AND_MOVE = 7


def transport_id(name: str) -> bytes:
    padded = name.encode() + b"\0"
    padded = padded.ljust(max(20, (len(padded) + 3) // 4 * 4), b"\0")
    return struct.pack(">BxH", 0x05, len(padded)) + padded


def reserve_out(
    initiator: UnitInitiator,
    action: Out,
    key: int = 0,
    new: int = 0,
    kind: int = 0,
    *,
    flags: int = 0,
    others: Iterable[str] | None = None,
) -> Answer:
    """`kind`: scope and type. `others`: initiators to register too (SPEC_I_PT)."""
    data = struct.pack(">QQ4xB3x", key, new, flags | (0 if others is None else 0x08))
    if others is not None:
        names = b"".join(map(transport_id, others))
        data += struct.pack(">I", len(names)) + names
    return initiator.run(struct.pack(">BBBxxIx", 0x5F, action, kind, len(data)), data)


def reserve_move(
    initiator: UnitInitiator,
    key: int,
    new: int,
    to: str,
    *,
    unregister: bool = False,
    flags: int = 0,
    port: int = 1,
) -> Answer:
    name = transport_id(to)
    flags |= 0x02 if unregister else 0
    data = struct.pack(">QQxBHI", key, new, flags, port, len(name)) + name
    cdb = struct.pack(">BBBxxIx", 0x5F, Out.REGISTER_AND_MOVE, 0, len(data))
    return initiator.run(cdb, data)


class Registration(NamedTuple):
    initiator: str
    port: int
    key: int
    kind: int  # of the reservation that it holds; 0: none


def read_keys(initiator: UnitInitiator) -> tuple[int, list[int]]:
    """The generation, and the keys."""
    generation, data = _listed(initiator, 0)
    return generation, list(struct.unpack(f">{len(data) // 8}Q", data))


def read_reservation(initiator: UnitInitiator) -> tuple[int, int] | None:
    """Key and type; None: there is no reservation."""
    _, data = _listed(initiator, 1)
    if not data:
        return None
    key, kind = struct.unpack(">Q5xB2x", data)
    return key, kind


def read_full_status(initiator: UnitInitiator) -> list[Registration]:
    _, data = _listed(initiator, 3)
    found = []
    while data:
        key, flags, kind, port, size = struct.unpack_from(">Q4xBB4xHI", data)
        assert bool(flags & 1) == bool(kind)
        assert size % 4 == 0
        name = data[28 : 24 + size].rstrip(b"\0").decode()
        found.append(Registration(name, port, key, kind))
        data = data[24 + size :]
    return found


def _listed(initiator: UnitInitiator, action: int) -> tuple[int, bytes]:
    data = initiator.good(struct.pack(">BB5xHx", 0x5E, action, 0xFFFF))
    generation, length = struct.unpack_from(">II", data)
    assert len(data) == 8 + length
    return generation, data[8:]
