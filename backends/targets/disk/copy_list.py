"""Parameter lists of EXTENDED COPY(LID1): which units, and which blocks of them (SPC-4 6.4)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from pvdrivers.backends.targets.command import (
    PARAMETER_LIST_LENGTH,
    CheckCondition,
    check_length,
    illegal_request,
    invalid_parameter,
)
from pvdrivers.backends.targets.spc.identity import BINARY, NAA_OF_UNIT
from pvdrivers.scsi.sense import Sense, SenseKey

TOO_MANY_TARGETS = (0x26, 0x06)
UNSUPPORTED_TARGET = (0x26, 0x07)
TOO_MANY_SEGMENTS = (0x26, 0x08)
UNSUPPORTED_SEGMENT = (0x26, 0x09)
INLINE_DATA_LENGTH = (0x26, 0x0B)
NOT_REACHABLE = Sense(SenseKey.COPY_ABORTED, 0x0D, 0x02)
WRONG_DEVICE_TYPE = Sense(SenseKey.COPY_ABORTED, 0x0D, 0x03)
UNREACHABLE_TARGET = Sense(SenseKey.COPY_ABORTED, 0x08, 0x04)  # an index of no target

BLOCKS_TO_BLOCKS, IDENTIFICATION = 0x02, 0xE4  # descriptor types
MAX_TARGETS, MAX_SEGMENTS = 16, 64
_HEADER, _TARGET, _SEGMENT = 16, 32, 28
MAX_LIST = MAX_TARGETS * _TARGET + MAX_SEGMENTS * _SEGMENT  # bytes of descriptors

_NO_LIST_ID, _RESERVED_USAGE = 3, 1
_NUL, _DC = 0x20, 0x02


class CopyTarget(NamedTuple):
    """`naa`: None when the descriptor says that there is none. `place`: of the descriptor."""

    naa: int | None
    device_type: int
    block_size: int
    place: int


class CopySegment(NamedTuple):
    """`source` and `destination`: indices of targets. `blocks` are the destination's if
    `in_destination_blocks`."""

    source: int
    destination: int
    blocks: int
    source_lba: int
    destination_lba: int
    in_destination_blocks: bool


class CopyList(NamedTuple):
    """`identifier`: None: nobody will ask for results."""

    identifier: int | None
    targets: list[CopyTarget]
    segments: list[CopySegment]


def parse_copy_list(data: bytes) -> CopyList:
    """CheckCondition: it is none, or more than there may be."""
    check_length(data, _HEADER)
    identifier, flags, targets, segments, inline = struct.unpack_from(">BBH4xII", data)
    usage = flags >> 3 & 0x03
    if usage == _RESERVED_USAGE or (usage == _NO_LIST_ID and identifier):
        raise invalid_parameter(1 if usage == _RESERVED_USAGE else 0)
    if targets % _TARGET:
        raise invalid_parameter(2)
    if targets + segments > MAX_LIST:
        raise illegal_request(PARAMETER_LIST_LENGTH)
    if targets > MAX_TARGETS * _TARGET:
        raise illegal_request(TOO_MANY_TARGETS)
    if inline:
        raise illegal_request(INLINE_DATA_LENGTH)
    start = _HEADER + targets
    check_length(data, start + segments)
    return CopyList(
        None if usage == _NO_LIST_ID else identifier,
        [_target(data, place) for place in range(_HEADER, start, _TARGET)],
        _segments(data[: start + segments], start),
    )


def _target(data: bytes, place: int) -> CopyTarget:
    """LU ID TYPE is ignored, since the designator names the unit."""
    kind, flags, code_set, designator_type, length = struct.unpack_from(">BBxxBBxB", data, place)
    if kind != IDENTIFICATION:
        raise illegal_request(UNSUPPORTED_TARGET)
    naa = None
    if not flags & _NUL:
        if length > 20:
            raise invalid_parameter(place + 7)
        naa = int.from_bytes(data[place + 8 : place + 8 + length], "big")
        if (code_set & 0x0F, designator_type & 0x3F, length) != (BINARY, NAA_OF_UNIT, 8):
            naa = -1  # which nobody has
    block_size = int.from_bytes(data[place + 29 : place + 32], "big")
    return CopyTarget(naa, flags & 0x1F, block_size, place)


def _segments(data: bytes, place: int) -> list[CopySegment]:
    found: list[CopySegment] = []
    while place < len(data):
        if len(found) == MAX_SEGMENTS:
            raise illegal_request(TOO_MANY_SEGMENTS)
        if data[place] != BLOCKS_TO_BLOCKS:
            raise illegal_request(UNSUPPORTED_SEGMENT)
        check_length(data, place + _SEGMENT)
        flags, length = struct.unpack_from(">xBH", data, place)
        if length != _SEGMENT - 4:
            raise invalid_parameter(place + 2)
        found.append(
            CopySegment._make((*struct.unpack_from(">HHxxHQQ", data, place + 4), bool(flags & _DC)))
        )
        place += _SEGMENT
    return found


def aborted(sense: Sense, segment: int) -> CheckCondition:
    """Of a copy, at that segment."""
    return CheckCondition(
        sense._replace(key=SenseKey.COPY_ABORTED, information=None, command_information=segment)
    )
