"""PREVENT ALLOW MEDIUM REMOVAL (SPC-4 6.23) for units whose media can be removed."""

from __future__ import annotations

from pvdrivers.backends.targets.command import Command, Nexus
from pvdrivers.backends.targets.operations import operation
from pvdrivers.backends.targets.persistent import PersistentUnit, UnitState
from pvdrivers.scsi.sense import Sense, SenseKey

MEDIUM_MAY_HAVE_CHANGED = (0x28, 0x00)
MEDIUM_REMOVAL_PREVENTED = (0x53, 0x02)
MEDIUM_NOT_PRESENT = Sense(SenseKey.NOT_READY, 0x3A, 0x00)


class Removal(PersistentUnit):
    """Each initiator prevents it for itself, until it allows it or is gone, or a reset."""

    def __init__(self) -> None:
        super().__init__()
        self._prevented_by: set[str] = set()  # names of initiators

    @property
    def removal_is_prevented(self) -> bool:
        return bool(self._prevented_by)

    @operation(0x1E, "PREVENT ALLOW MEDIUM REMOVAL", "1e 00 00 00 01 00", harmless=(4, 0x01, 0))
    def prevent_allow_medium_removal(self, command: Command) -> None:
        if command.cdb[4]:
            self._prevented_by.add(command.nexus.name)
        else:
            self._prevented_by.discard(command.nexus.name)

    def detach(self, nexus: Nexus) -> None:
        self._prevented_by.discard(nexus.name)
        super().detach(nexus)

    def reset(self, nexus: Nexus) -> None:
        self._prevented_by.clear()
        super().reset(nexus)

    def state(self) -> UnitState:
        prevented = sorted(self._prevented_by)
        return super().state() | ({"removal prevented": prevented} if prevented else {})

    def restore(self, state: UnitState) -> None:
        super().restore(state)
        self._prevented_by = set(state.get("removal prevented", ()))
