"""UNMAP, WRITE SAME and GET LBA STATUS (SBC-3 4.7, 5)."""

from __future__ import annotations

import struct

from pvdrivers.backends.targets.command import (
    Command,
    check_length,
    invalid_field,
    invalid_parameter,
)
from pvdrivers.backends.targets.disk.block_unit import BlockUnit
from pvdrivers.backends.targets.operations import Access, Needs, operation
from pvdrivers.scsi.block_range import BlockRange

_UNMAP, _NDOB = 0x08, 0x01  # of WRITE SAME
_MAPPED, _DEALLOCATED = 0, 1
_LARGEST_COUNT = 0xFFFFFFFF  # of an LBA status descriptor
_MOST_DESCRIPTORS = 256  # that one GET LBA STATUS gives


class Provisioning(BlockUnit):
    """Of a disk that is not thin, without UNMAP and GET LBA STATUS."""

    @operation(
        0x42,
        "UNMAP",
        "42 00 00 00 00 00 1f ff ff 00",
        needs=Needs.WRITABLE,
        excludes_direct_access=True,
    )
    def unmap(self, command: Command) -> None:
        """All ranges are checked before the first is unmapped."""
        data = command.parameters(command.number(7, 2))
        ranges = self._ranges_in(data) if data else []
        for lba, count in ranges:
            self.check_range(lba, count)
        for lba, count in ranges:
            self.medium.unmap(lba, count)

    def _ranges_in(self, data: bytes) -> list[BlockRange]:
        check_length(data, 8)
        length = int.from_bytes(data[2:4], "big")
        check_length(data, 8 + length)
        descriptors = length // 16  # what is left over is ignored
        if descriptors > self.limits.unmap_descriptors:
            raise invalid_parameter(2)
        ranges = BlockRange.list_of(data[8 : 8 + 16 * descriptors])
        if sum(one.blocks for one in ranges) > self.limits.unmap:
            raise invalid_parameter(8)
        return ranges

    @operation(
        0x41,
        "WRITE SAME(10)",
        "41 08 ff ff ff ff 1f ff ff 00",
        needs=Needs.WRITABLE,
        excludes_direct_access=True,
    )
    @operation(
        0x93,
        "WRITE SAME(16)",
        "93 09 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00",
        needs=Needs.WRITABLE,
        excludes_direct_access=True,
    )
    def write_same(self, command: Command) -> None:
        """With UNMAP the blocks are unmapped when they then read as the data that were sent."""
        flags = command.cdb[1]
        if flags & _UNMAP and not self.medium.is_thin:
            raise invalid_field(1, 3)
        lba, count = self.range_of(command)
        count = count or self.medium.blocks - lba
        if count > self.limits.write_same:
            raise self.wrong_length(command)
        no_data = command.cdb[0] == 0x93 and flags & _NDOB
        data = b"" if no_data else bytes(self.data_of(command, 1, exactly=True))
        if flags & _UNMAP and not any(data):
            self.medium.zero(lba, count)
        else:
            self.medium.fill(lba, count, data or bytes(self.medium.block_size))
        self.written(durable=False)

    @operation(
        0x9E,
        "GET LBA STATUS",
        "9e 12 ff ff ff ff ff ff ff ff ff ff ff ff 00 00",
        service_action=0x12,
        access=Access.READ,
        needs=Needs.READY,
    )
    def get_lba_status(self, command: Command) -> bytes:
        """As many descriptors as there is room for, up to a limit; the last one's end says where
        to ask again."""
        lba, room = command.number(2, 8), command.number(10, 4)
        self.check_range(lba, 1)
        most = min(max((room - 8) // 16, 1), _MOST_DESCRIPTORS)
        data = b""
        while lba < self.medium.blocks and len(data) < 16 * most:
            is_mapped, end = self.medium.mapped(lba)
            count = min(end - lba, _LARGEST_COUNT)
            data += struct.pack(">QIBxxx", lba, count, _MAPPED if is_mapped else _DEALLOCATED)
            lba += count
        return (struct.pack(">I4x", 4 + len(data)) + data)[:room]
