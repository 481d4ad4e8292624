"""iSCSI's protocol data units: a header of 48 bytes and data (RFC 7143, section 11).

Digests are negotiated away, so that a header and its data stand side by side on the wire.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from enum import IntEnum

from pvdrivers.scsi.lun import decode_lun, encode_lun

HEADER = 48  # bytes
NO_TAG = 0xFFFFFFFF
IMMEDIATE = 0x40
FINAL = 0x80


class ProtocolError(Exception):
    """The other end does not speak iSCSI; its connection ends."""


class Opcode(IntEnum):
    NOP_OUT = 0x00
    SCSI_COMMAND = 0x01
    TASK_MANAGEMENT = 0x02
    LOGIN = 0x03
    TEXT = 0x04
    DATA_OUT = 0x05
    LOGOUT = 0x06
    SNACK = 0x10
    NOP_IN = 0x20
    SCSI_RESPONSE = 0x21
    TASK_MANAGEMENT_RESPONSE = 0x22
    LOGIN_RESPONSE = 0x23
    TEXT_RESPONSE = 0x24
    DATA_IN = 0x25
    LOGOUT_RESPONSE = 0x26
    R2T = 0x31
    REJECT = 0x3F


def _field(offset: int, code: str) -> property:
    """A big-endian number of the header."""
    packed = struct.Struct(">" + code)

    def get(pdu: Pdu) -> int:
        return int(packed.unpack_from(pdu.header, offset)[0])

    def put(pdu: Pdu, value: int) -> None:
        packed.pack_into(pdu.header, offset, value)

    return property(get, put)


@dataclass(slots=True)
class Pdu:
    """Fields that several kinds have, by the names of the RFC; offsets are bytes of the header."""

    header: bytearray = field(default_factory=lambda: bytearray(HEADER))
    data: bytes | memoryview = b""

    flags = _field(1, "B")
    tag = _field(16, "I")  # initiator task tag
    transfer_tag = _field(20, "I")  # target transfer tag; a command's expected data length
    referenced_tag = _field(20, "I")  # of the task that a task management request is about
    cmd_sn = _field(24, "I")
    data_sn = _field(36, "I")
    buffer_offset = _field(40, "I")
    residual = _field(44, "I")

    @classmethod
    def of(cls, opcode: Opcode, tag: int = NO_TAG, flags: int = FINAL) -> Pdu:
        pdu = cls()
        pdu.header[0] = opcode
        pdu.flags = flags
        pdu.tag = tag
        return pdu

    @property
    def opcode(self) -> int:
        return self.header[0] & 0x3F

    @property
    def immediate(self) -> bool:
        return bool(self.header[0] & IMMEDIATE)

    @property
    def final(self) -> bool:
        return bool(self.header[1] & FINAL)

    @property
    def lun(self) -> int | None:
        """As `decode_lun` has it."""
        return decode_lun(self.header[8:16])

    @lun.setter
    def lun(self, lun: int) -> None:
        self.header[8:16] = encode_lun(lun)

    def put_numbers(self, stat_sn: int, exp_cmd_sn: int, max_cmd_sn: int) -> None:
        """Of what the target sends."""
        _NUMBERS.pack_into(self.header, 24, stat_sn, exp_cmd_sn, max_cmd_sn)

    def encode(self) -> tuple[bytes | bytearray | memoryview, ...]:
        """Its parts, side by side on the wire."""
        length = len(self.data)
        self.header[5:8] = length.to_bytes(3, "big")
        return self.header, self.data, _PADDING[-length % 4]


_NUMBERS = struct.Struct(">3I")
_PADDING = tuple(bytes(count) for count in range(4))
_CHUNK = 1 << 18  # bytes that are read at once, at most


class PduReader:
    """What the other end sends, as it comes: many PDUs in one piece, or one in many."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()
        self._at = 0  # where the next one begins

    async def read(self, max_data: int) -> Pdu | None:
        """The next one; None: the other end has closed. ProtocolError: as `take`."""
        while (pdu := self.take(max_data)) is None:
            try:
                piece = await self._reader.read(_CHUNK)
            except ConnectionError:
                return None
            if not piece:
                return None
            del self._buffer[: self._at]
            self._buffer += piece
            self._at = 0
        return pdu

    def take(self, max_data: int) -> Pdu | None:
        """The next one, if it is here as a whole. ProtocolError: it announces more data than was
        agreed. What a header is extended by is left out: no command here needs it."""
        start = self._at + HEADER
        header = self._buffer[self._at : start]
        if len(header) < HEADER:
            return None
        start += header[4] * 4
        length = int.from_bytes(header[5:8], "big")
        if length > max_data:
            raise ProtocolError(f"a PDU with {length} bytes of data, where {max_data} were agreed")
        end = start + length + -length % 4
        if end > len(self._buffer):
            return None
        self._at = end
        return Pdu(header, bytes(self._buffer[start : start + length]))
