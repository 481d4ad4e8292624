"""START STOP UNIT and PREVENT ALLOW MEDIUM REMOVAL (SBC-3 5.25, SPC-4 6.23)."""

from __future__ import annotations

from pvdrivers.backends.targets.command import CheckCondition, Command, invalid_field
from pvdrivers.backends.targets.disk.block_unit import BlockUnit
from pvdrivers.backends.targets.operations import operation
from pvdrivers.backends.targets.persistent import UnitState
from pvdrivers.scsi.sense import Sense, SenseKey

STOPPED = Sense(SenseKey.NOT_READY, 0x04, 0x02)  # initializing command required

_NO_FLUSH, _START = 0x04, 0x01


class Power(BlockUnit):
    """A disk that was stopped is started by START STOP UNIT alone."""

    _stopped = False

    @operation(
        0x1B,
        "START STOP UNIT",
        "1b 01 00 00 f7 00",
        harmless=(4, 0xF0 | _START, _START),
        excludes_direct_access=True,
    )
    def start_stop_unit(self, command: Command) -> None:
        if (condition := self.condition()) not in (None, STOPPED):
            raise CheckCondition(condition)
        flags = command.cdb[4]
        if flags & 0xF0:  # power conditions, of which there are none
            raise invalid_field(4, 7)
        if flags & 0x02:  # LOEJ: the medium cannot be removed
            raise invalid_field(4, 1)
        if not flags & (_START | _NO_FLUSH):
            self.medium.flush()
        self._stopped = not flags & _START

    @operation(0x1E, "PREVENT ALLOW MEDIUM REMOVAL", "1e 00 00 00 01 00", harmless=(4, 0x01, 0))
    def prevent_allow_medium_removal(self, command: Command) -> None:
        """Without an effect, since the medium cannot be removed."""

    def state(self) -> UnitState:
        return super().state() | ({"stopped": True} if self._stopped else {})

    def restore(self, state: UnitState) -> None:
        super().restore(state)
        self._stopped = "stopped" in state

    def condition(self) -> Sense | None:
        return STOPPED if self._stopped else super().condition()
