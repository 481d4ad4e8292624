"""READ CAPACITY, 10 and 16 bytes (SBC-3 5.15, 5.16)."""

from __future__ import annotations

import struct

from pvdrivers.backends.targets.command import Command
from pvdrivers.backends.targets.disk.block_unit import BlockUnit
from pvdrivers.backends.targets.operations import Access, Needs, operation

CAPACITY_CHANGED = (0x2A, 0x09)
_LBPME, _LBPRZ = 0x8000, 0x4000


class Capacity(BlockUnit):
    def refresh(self) -> None:
        """Reads the store's size again; initiators are told when it is another. Not while a
        backend's queue is being pumped. OSError: it cannot be read."""
        before = self.medium.blocks
        self.medium.store.refresh()
        if self.medium.blocks != before:
            self.establish_attention(CAPACITY_CHANGED)
            self.commit()

    @operation(
        0x25,
        "READ CAPACITY(10)",
        "25 00 00 00 00 00 00 00 00 00",
        access=Access.NONE,
        needs=Needs.READY,
    )
    def read_capacity_10(self, command: Command) -> bytes:
        last = min(self.medium.blocks - 1, 0xFFFFFFFF)  # which says: ask with 16 bytes
        return struct.pack(">II", last, self.medium.block_size)

    @operation(
        0x9E,
        "READ CAPACITY(16)",
        "9e 10 00 00 00 00 00 00 00 00 ff ff ff ff 00 00",
        service_action=0x10,
        access=Access.NONE,
        needs=Needs.READY,
    )
    def read_capacity_16(self, command: Command) -> bytes:
        provisioning = _LBPME if self.medium.is_thin else 0
        if self.medium.is_thin and self.medium.unmapped_is_zero:
            provisioning |= _LBPRZ
        data = struct.pack(
            ">QIBBH16x",
            self.medium.blocks - 1,
            self.medium.block_size,
            0,  # no protection information
            self._physical_exponent(),
            provisioning,
        )
        return data[: command.number(10, 4)]

    def _physical_exponent(self) -> int:
        """Of 2: how many logical blocks are a physical one."""
        physical = int(self.medium.store.geometry.physical_sector_size)
        return max((physical // self.medium.block_size).bit_length() - 1, 0)
