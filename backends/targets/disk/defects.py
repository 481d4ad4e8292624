"""READ DEFECT DATA, 10 and 12 bytes (SBC-3 5.17, 5.18): a store has no defects to list."""

from __future__ import annotations

import struct

from pvdrivers.backends.targets.command import Command
from pvdrivers.backends.targets.disk.block_unit import BlockUnit
from pvdrivers.backends.targets.operations import Access, operation


class Defects(BlockUnit):
    """Both lists, in whatever format, are there and empty."""

    @operation(0x37, "READ DEFECT DATA(10)", "37 00 1f 00 00 00 00 ff ff 00", access=Access.READ)
    def read_defect_data_10(self, command: Command) -> bytes:
        return struct.pack(">xBH", command.cdb[2], 0)[: command.number(7, 2)]

    @operation(
        0xB7,
        "READ DEFECT DATA(12)",
        "b7 1f ff ff ff ff ff ff ff ff 00 00",
        access=Access.READ,
    )
    def read_defect_data_12(self, command: Command) -> bytes:
        return struct.pack(">xBHI", command.cdb[1], 0, 0)[: command.number(6, 4)]
