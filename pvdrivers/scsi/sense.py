"""Sense data: why a command ended with CHECK CONDITION (SPC-4 4.5)."""

import struct
from enum import IntEnum
from typing import NamedTuple, Self

MAX_SENSE = 96  # bytes that a ring's response has room for
FIXED, DESCRIPTOR = 0x70, 0x72  # response codes of current errors; one more: of deferred ones
SKSV, CDB_FIELD, BIT_POINTER = 0x80, 0x40, 0x08


class SenseKey(IntEnum):
    NO_SENSE = 0x0
    RECOVERED_ERROR = 0x1
    NOT_READY = 0x2
    MEDIUM_ERROR = 0x3
    HARDWARE_ERROR = 0x4
    ILLEGAL_REQUEST = 0x5
    UNIT_ATTENTION = 0x6
    DATA_PROTECT = 0x7
    BLANK_CHECK = 0x8
    VENDOR_SPECIFIC = 0x9
    COPY_ABORTED = 0xA
    ABORTED_COMMAND = 0xB
    VOLUME_OVERFLOW = 0xD
    MISCOMPARE = 0xE
    COMPLETED = 0xF


class Field(NamedTuple):
    """Which byte, and bit, of a CDB or of its parameter list is wrong (SPC-4 4.5.2.4.2)."""

    byte: int
    bit: int | None = None
    in_cdb: bool = True

    @property
    def specific(self) -> bytes:
        flags = SKSV | (CDB_FIELD if self.in_cdb else 0)
        if self.bit is not None:
            flags |= BIT_POINTER | self.bit
        return struct.pack(">BH", flags, self.byte)


class Sense(NamedTuple):
    """`specific` has 3 bytes: the sense key specific field, its validity bit included."""

    key: int
    asc: int
    ascq: int
    information: int | None = None
    filemark: bool = False
    end_of_medium: bool = False
    incorrect_length: bool = False
    specific: bytes = bytes(3)
    command_information: int = 0
    deferred: bool = False

    @property
    def code(self) -> str:
        """Key, ASC and ASCQ as manuals have them, such as "05/24/00"."""
        return f"{self.key:02x}/{self.asc:02x}/{self.ascq:02x}"

    def fixed(self) -> bytes:
        """18 bytes, the format that initiators expect unless a mode page says otherwise. A tape's
        information may be negative. What does not fit into 32 bits is left out."""
        information = self.information or 0
        valid = self.information is not None and -(1 << 31) <= information < 1 << 32
        return struct.pack(
            ">BxBIB4sBBB3s",
            (FIXED + self.deferred) | (0x80 if valid else 0),
            self._bits(),
            information & 0xFFFFFFFF if valid else 0,
            10,
            (self.command_information & 0xFFFFFFFF).to_bytes(4, "big"),
            self.asc,
            self.ascq,
            0,
            self.specific,
        )

    def descriptor(self) -> bytes:
        """The format with room for 64 bits of information (D_SENSE in the control mode page)."""
        parts = []
        if self.information is not None:
            value = self.information & 0xFFFFFFFFFFFFFFFF
            parts.append(struct.pack(">BBBxQ", 0x00, 10, 0x80, value))
        if self.command_information:
            parts.append(struct.pack(">BBxxQ", 0x01, 10, self.command_information))
        if any(self.specific):
            parts.append(struct.pack(">BBxx3sx", 0x02, 6, self.specific))
        if bits := self._bits() & 0xF0:
            parts.append(struct.pack(">BBxB", 0x04, 2, bits))
        head = (DESCRIPTOR + self.deferred, self.key, self.asc, self.ascq, sum(map(len, parts)))
        return struct.pack(">BBBBxxxB", *head) + b"".join(parts)

    def _bits(self) -> int:
        return self.key | self.filemark << 7 | self.end_of_medium << 6 | self.incorrect_length << 5

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Either format; None: it is neither, or too short to say anything."""
        if len(data) >= 14 and data[0] & 0x7E == FIXED:
            return cls._parse_fixed(data.ljust(18, b"\0"))
        if len(data) >= 8 and data[0] & 0x7E == DESCRIPTOR:
            return cls._parse_descriptors(data)
        return None

    @classmethod
    def _parse_fixed(cls, data: bytes) -> Self:
        return cls(
            data[2] & 0x0F,
            data[12],
            data[13],
            int.from_bytes(data[3:7], "big") if data[0] & 0x80 else None,
            bool(data[2] & 0x80),
            bool(data[2] & 0x40),
            bool(data[2] & 0x20),
            data[15:18],
            int.from_bytes(data[8:12], "big"),
            bool(data[0] & 1),
        )

    @classmethod
    def _parse_descriptors(cls, data: bytes) -> Self:
        sense = cls(data[1] & 0x0F, data[2], data[3], deferred=bool(data[0] & 1))
        rest = data[8 : 8 + data[7]]
        while len(rest) >= 2 and len(rest) >= 2 + rest[1]:
            one, rest = rest[: 2 + rest[1]], rest[2 + rest[1] :]
            if one[0] == 0x00 and len(one) == 12 and one[2] & 0x80:
                sense = sense._replace(information=int.from_bytes(one[4:], "big"))
            elif one[0] == 0x01 and len(one) == 12:
                sense = sense._replace(command_information=int.from_bytes(one[4:], "big"))
            elif one[0] == 0x02 and len(one) == 8:
                sense = sense._replace(specific=one[4:7])
            elif one[0] == 0x04 and len(one) == 4:
                sense = sense._replace(
                    filemark=bool(one[3] & 0x80),
                    end_of_medium=bool(one[3] & 0x40),
                    incorrect_length=bool(one[3] & 0x20),
                )
        return sense
