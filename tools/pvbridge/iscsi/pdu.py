"""iSCSI's protocol data units: a header of 48 bytes and data (RFC 7143, section 11).

Digests are negotiated away, so that a header and its data stand side by side on the wire.
"""

from __future__ import annotations

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
    data: bytes = b""

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

    def put_window(self, exp_cmd_sn: int, max_cmd_sn: int) -> None:
        """Of what the target sends during login; later the data plane knows."""
        _WINDOW.pack_into(self.header, 28, exp_cmd_sn, max_cmd_sn)


_WINDOW = struct.Struct(">2I")
