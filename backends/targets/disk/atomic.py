"""COMPARE AND WRITE and ORWRITE: reading and writing with nothing between (SBC-3 5.2, 5.14)."""

from __future__ import annotations

from pvdrivers.backends.targets.command import Answer, CheckCondition, Command
from pvdrivers.backends.targets.disk.block_unit import FUA, BlockUnit
from pvdrivers.backends.targets.disk.transfers import MISCOMPARE
from pvdrivers.backends.targets.journal import Journal
from pvdrivers.backends.targets.operations import Needs, operation
from pvdrivers.backends.targets.persistent import UnitState
from pvdrivers.scsi.sense import Sense


class AtomicCommands(BlockUnit):
    # The identity of a COMPARE AND WRITE whose comparison is over, where it writes, and what.
    _writing: tuple[bytes, int, bytes] | None = None

    @operation(
        0x89,
        "COMPARE AND WRITE",
        "89 18 ff ff ff ff ff ff ff ff 00 00 00 ff 1f 00",
        needs=Needs.WRITABLE,
        excludes_direct_access=True,
    )
    def compare_and_write(self, command: Command) -> None:
        """The sense data of a miscompare have in their information the offset of the first byte
        that differs."""
        lba, count = self.range_of(command, self.limits.compare_and_write)
        size = count * self.medium.block_size
        data = self.data_of(command, 2 * count, exactly=True)
        expected, new = data[:size], data[size:]
        found = self.medium.read(lba, count)
        if found != expected:
            raise CheckCondition(Sense(*MISCOMPARE, information=_first_difference(found, expected)))
        self._writing = command.identity, lba, bytes(new)
        self.commit()
        try:
            self._finish_writing(durable=bool(command.cdb[1] & FUA))
        finally:
            self._writing = None

    def _finish_writing(self, *, durable: bool) -> None:
        if self._writing:
            _, lba, data = self._writing
            self.medium.write(lba, data)
            self.written(durable=durable)

    def take_up(self, journal: Journal) -> None:
        """Finishes what an earlier process had begun to write: it has compared equal, and another
        comparison could fail."""
        super().take_up(journal)
        if self._writing:
            identity = self._writing[0]
            answer = self.answered(lambda: self._finish_writing(durable=True))
            self._writing = None
            self.commit(identity, answer)

    def state(self) -> UnitState:
        return super().state() | ({"writing": self._writing} if self._writing else {})

    def restore(self, state: UnitState) -> None:
        super().restore(state)
        self._writing = state.get("writing")

    @operation(
        0x8B,
        "ORWRITE(16)",
        "8b 18 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00",
        needs=Needs.WRITABLE,
        excludes_direct_access=True,
    )
    def orwrite(self, command: Command) -> Answer:
        lba, count = self.range_of(command, self.limits.transfer)
        data = self.data_of(command, count)
        bits = int.from_bytes(self.medium.read(lba, count), "big") | int.from_bytes(data, "big")
        self.medium.write(lba, bits.to_bytes(len(data), "big"))
        if count:
            self.written(durable=bool(command.cdb[1] & FUA))
        return Answer(unused=len(command.data_out) - len(data))


def _first_difference(one: bytes, other: memoryview) -> int:
    return next(place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
