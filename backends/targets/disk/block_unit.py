"""What all commands of a disk stand on: its medium, its limits, and the range of a CDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pvdrivers.backends.targets.command import (
    CheckCondition,
    Command,
    Nexus,
    illegal_request,
    invalid_field,
)
from pvdrivers.backends.targets.disk.medium import Medium
from pvdrivers.backends.targets.spc.unit import PrimaryUnit
from pvdrivers.scsi.block_range import BlockRange

LBA_OUT_OF_RANGE = (0x21, 0x00)
FUA = 0x08  # in byte 1 of a CDB
MAX_COMPARE_AND_WRITE = 1 << 16  # bytes, which a journal has room for


@dataclass(frozen=True, slots=True)
class Limits:
    """What one command may ask for, in logical blocks; the block limits page says so (VPD B0)."""

    transfer: int
    write_same: int
    unmap: int = 0xFFFFFFFF
    unmap_descriptors: int = 256
    compare_and_write: int = 16

    @classmethod
    def for_block_size(cls, block_size: int) -> Self:
        return cls(
            transfer=(32 << 20) // block_size,
            write_same=0xFFFF,
            compare_and_write=MAX_COMPARE_AND_WRITE // block_size,
        )


_LENGTH_PLACE = {0: 4, 1: 7, 2: 7, 4: 10, 5: 6}  # by group code


class BlockUnit(PrimaryUnit):
    medium: Medium
    limits: Limits

    def check_open(self, nexus: Nexus, opcode: int) -> None:
        """CommandError: a command with this opcode would be refused to this initiator now, whatever
        it asks for."""
        cdb = bytes((opcode,)).ljust(16, b"\0")
        self.check_access(self.operations.find(cdb), Command(nexus, cdb))

    def check_range(self, lba: int, count: int) -> None:
        """CheckCondition: it is not all on the disk. An empty one may begin at its end."""
        if lba + count > self.medium.blocks:
            raise illegal_request(LBA_OUT_OF_RANGE)

    def range_of(self, command: Command, longest: int | None = None) -> BlockRange:
        """CheckCondition: there are no such blocks, or more than `longest`."""
        wanted = BlockRange.of(command.cdb)
        if longest is not None and wanted.blocks > longest:
            raise self.wrong_length(command)
        self.check_range(*wanted)
        return wanted

    def data_of(self, command: Command, blocks: int, *, exactly: bool = False) -> memoryview:
        """What the initiator sends. CheckCondition: it is less than so many blocks, or is not
        `exactly` as much."""
        size, sent = blocks * self.medium.block_size, len(command.data_out)
        if sent < size or (exactly and sent > size):
            raise self.wrong_length(command)
        return memoryview(command.data_out)[:size]

    def wrong_length(self, command: Command) -> CheckCondition:
        """The number of blocks in its CDB is what cannot be."""
        return invalid_field(_LENGTH_PLACE[command.cdb[0] >> 5])

    def written(self, *, durable: bool) -> None:
        """After each write: `durable` when the CDB wants the data on the medium now."""
        if durable or not self.caches_writes:
            self.medium.flush()

    @property
    def caches_writes(self) -> bool:
        """WCE of the caching mode page."""
        return False
