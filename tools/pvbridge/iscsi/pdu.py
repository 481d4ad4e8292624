"""iSCSI's protocol data units: a header of 48 bytes and data (RFC 7143, section 11).

Digests are negotiated away, so that a header and its data stand side by side on the wire.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from enum import IntEnum

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
    exp_stat_sn = _field(28, "I")
    # Of what the target sends.
    stat_sn = _field(24, "I")
    exp_cmd_sn = _field(28, "I")
    max_cmd_sn = _field(32, "I")
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
        """A LUN of the peripheral or flat address method (SAM-5 4.7); None: of another."""
        first, second = self.header[8:10]
        if any(self.header[10:16]):
            return None
        if first == 0:
            return second
        return (first & 0x3F) << 8 | second if first >> 6 == 1 else None

    @lun.setter
    def lun(self, lun: int) -> None:
        high = 0x40 | lun >> 8 if lun > 0xFF else 0
        self.header[8:16] = bytes((high, lun & 0xFF)) + bytes(6)

    def encode(self) -> bytes:
        length = len(self.data)
        self.header[5:8] = length.to_bytes(3, "big")
        return b"".join((self.header, self.data, bytes(-length % 4)))


async def read_pdu(reader: asyncio.StreamReader, max_data: int) -> Pdu | None:
    """The next one; None: the other end has closed. ProtocolError: it announces more data than
    was agreed. What a header is extended by is read and left out: no command here needs it."""
    try:
        pdu = Pdu(bytearray(await reader.readexactly(HEADER)))
        extended, length = pdu.header[4] * 4, int.from_bytes(pdu.header[5:8], "big")
        if length > max_data:
            raise ProtocolError(f"a PDU with {length} bytes of data, where {max_data} were agreed")
        await reader.readexactly(extended)
        pdu.data = (await reader.readexactly(length + -length % 4))[:length]
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return pdu
