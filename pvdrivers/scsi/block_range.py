"""The logical blocks that a CDB of a disk is about, where its group code says they stand."""

from __future__ import annotations

import struct
from typing import NamedTuple, Self


class BlockRange(NamedTuple):
    lba: int
    blocks: int

    @classmethod
    def of(cls, cdb: bytes) -> Self:
        """Of a CDB that is as long as its group code says. In one of 6 bytes 0 blocks are 256."""
        group = cdb[0] >> 5
        if group == 0:
            return cls(int.from_bytes(cdb[1:4], "big") & 0x1FFFFF, cdb[4] or 256)
        if group == 4:
            return cls(*struct.unpack_from(">QI", cdb, 2))
        if group == 5:
            return cls(*struct.unpack_from(">II", cdb, 2))
        return cls(*struct.unpack_from(">IxH", cdb, 2))

    @classmethod
    def list_of(cls, data: bytes) -> list[Self]:
        """Of descriptors of 16 bytes, as UNMAP and copies by tokens have them."""
        return [cls(*fields) for fields in struct.iter_unpack(">QI4x", data)]

    def cdb(self, opcode: int, flags: int = 0) -> bytes:
        """`flags` are byte 1. OverflowError: the range does not fit into such a CDB."""
        group = opcode >> 5
        try:
            if group == 0:
                if self.lba > 0x1FFFFF or not 0 < self.blocks <= 256:
                    raise struct.error
                return struct.pack(">IBx", opcode << 24 | self.lba, self.blocks & 0xFF)
            if group == 4:
                return struct.pack(">BBQIxx", opcode, flags, self.lba, self.blocks)
            if group == 5:
                return struct.pack(">BBIIxx", opcode, flags, self.lba, self.blocks)
            return struct.pack(">BBIxHx", opcode, flags, self.lba, self.blocks)
        except struct.error as error:
            raise OverflowError(f"{self} does not fit into a CDB of {opcode:02x}") from error
