"""READ, WRITE, VERIFY, WRITE AND VERIFY, SYNCHRONIZE CACHE and PRE-FETCH (SBC-3 5)."""

from __future__ import annotations

from pvdrivers.backends.targets.command import Answer, CheckCondition, Command, invalid_field
from pvdrivers.backends.targets.disk.block_unit import FUA, BlockUnit
from pvdrivers.backends.targets.operations import Access, Needs, operation
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense, SenseKey

MISCOMPARE = (SenseKey.MISCOMPARE, 0x1D, 0x00)

_NO_COMPARISON, _COMPARE_ALL, _RESERVED, _COMPARE_ONE = range(4)  # BYTCHK


def byte_check(command: Command) -> int:
    return command.cdb[1] >> 1 & 0x03


class Transfers(BlockUnit):
    # ---- READ --------------------------------------------------------------------------------

    @operation(0x08, "READ(6)", "08 1f ff ff ff 00", access=Access.READ, needs=Needs.READY)
    def read_6(self, command: Command) -> bytes:
        return self.medium.read(*self.range_of(command, self.limits.transfer))

    @operation(
        0x28, "READ(10)", "28 18 ff ff ff ff 1f ff ff 00", access=Access.READ, needs=Needs.READY
    )
    @operation(
        0xA8,
        "READ(12)",
        "a8 18 ff ff ff ff ff ff ff ff 1f 00",
        access=Access.READ,
        needs=Needs.READY,
    )
    @operation(
        0x88,
        "READ(16)",
        "88 18 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00",
        access=Access.READ,
        needs=Needs.READY,
    )
    def read(self, command: Command) -> bytes:
        wanted = self.range_of(command, self.limits.transfer)
        if command.cdb[1] & FUA:
            self.medium.flush()  # what is read is on the medium then
        return self.medium.read(*wanted)

    # ---- WRITE -------------------------------------------------------------------------------

    @operation(0x0A, "WRITE(6)", "0a 1f ff ff ff 00", needs=Needs.WRITABLE)
    def write_6(self, command: Command) -> Answer:
        return self._write(command, durable=False)

    @operation(0x2A, "WRITE(10)", "2a 18 ff ff ff ff 1f ff ff 00", needs=Needs.WRITABLE)
    @operation(0xAA, "WRITE(12)", "aa 18 ff ff ff ff ff ff ff ff 1f 00", needs=Needs.WRITABLE)
    @operation(
        0x8A,
        "WRITE(16)",
        "8a 18 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00",
        needs=Needs.WRITABLE,
    )
    def write(self, command: Command) -> Answer:
        return self._write(command, durable=bool(command.cdb[1] & FUA))

    @operation(0x2E, "WRITE AND VERIFY(10)", "2e 16 ff ff ff ff 1f ff ff 00", needs=Needs.WRITABLE)
    @operation(
        0xAE, "WRITE AND VERIFY(12)", "ae 16 ff ff ff ff ff ff ff ff 1f 00", needs=Needs.WRITABLE
    )
    @operation(
        0x8E,
        "WRITE AND VERIFY(16)",
        "8e 16 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00",
        needs=Needs.WRITABLE,
    )
    def write_and_verify(self, command: Command) -> Answer:
        if byte_check(command) not in (_NO_COMPARISON, _COMPARE_ALL):
            raise invalid_field(1, 2)
        answer = self._write(command, durable=True)
        lba, count = BlockRange.of(command.cdb)
        if self.medium.read(lba, count) != self.data_of(command, count):
            raise CheckCondition(Sense(*MISCOMPARE))
        return answer

    def _write(self, command: Command, *, durable: bool) -> Answer:
        lba, count = self.range_of(command, self.limits.transfer)
        data = self.data_of(command, count)
        self.medium.write(lba, data)
        if count:
            self.written(durable=durable)
        return Answer(unused=len(command.data_out) - len(data))

    # ---- VERIFY ------------------------------------------------------------------------------

    @operation(
        0x2F, "VERIFY(10)", "2f 16 ff ff ff ff 1f ff ff 00", access=Access.READ, needs=Needs.READY
    )
    @operation(
        0xAF,
        "VERIFY(12)",
        "af 16 ff ff ff ff ff ff ff ff 1f 00",
        access=Access.READ,
        needs=Needs.READY,
    )
    @operation(
        0x8F,
        "VERIFY(16)",
        "8f 16 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00",
        access=Access.READ,
        needs=Needs.READY,
    )
    def verify(self, command: Command) -> Answer:
        """Without a comparison the blocks are read all the same, so that a bad one is found."""
        kind = byte_check(command)
        if kind == _RESERVED:
            raise invalid_field(1, 2)
        longest = self.limits.transfer if kind == _COMPARE_ALL else None
        lba, count = self.range_of(command, longest)
        sent = {_NO_COMPARISON: 0, _COMPARE_ALL: count, _COMPARE_ONE: min(count, 1)}[kind]
        data = self.data_of(command, sent)
        for start, part in self.medium.chunks(lba, count):
            found = self.medium.read(start, part)
            if kind == _COMPARE_ONE:
                expected: bytes | memoryview = bytes(data) * part
            else:
                size = self.medium.block_size
                expected = data[(start - lba) * size :][: part * size]
            if kind != _NO_COMPARISON and found != expected:
                raise CheckCondition(Sense(*MISCOMPARE))
        return Answer(unused=len(command.data_out) - len(data))

    # ---- caches ------------------------------------------------------------------------------

    @operation(0x35, "SYNCHRONIZE CACHE(10)", "35 02 ff ff ff ff 1f ff ff 00", needs=Needs.READY)
    @operation(
        0x91,
        "SYNCHRONIZE CACHE(16)",
        "91 02 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00",
        needs=Needs.READY,
    )
    def synchronize_cache(self, command: Command) -> None:
        """All of the cache, whatever the range; IMMED too waits for the end."""
        self.range_of(command)
        self.medium.flush()

    @operation(
        0x34,
        "PRE-FETCH(10)",
        "34 02 ff ff ff ff 1f ff ff 00",
        access=Access.READ,
        needs=Needs.READY,
    )
    @operation(
        0x90,
        "PRE-FETCH(16)",
        "90 02 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00",
        access=Access.READ,
        needs=Needs.READY,
    )
    def pre_fetch(self, command: Command) -> Answer:
        """CONDITION MET: the host's page cache has room, as far as anybody can tell."""
        lba, count = self.range_of(command)
        self.medium.prefetch(lba, count or self.medium.blocks - lba)
        return Answer(Status.CONDITION_MET)
