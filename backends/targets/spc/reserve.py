"""RESERVE and RELEASE, 6 and 10 bytes: the reservations of SPC-2 5.5, which end with a reset."""

from __future__ import annotations

from pvdrivers.backends.targets.command import Command, Nexus
from pvdrivers.backends.targets.operations import Access, Operation, operation
from pvdrivers.backends.targets.persistent import PersistentUnit, UnitState
from pvdrivers.backends.targets.spc.reservations import conflict

RESERVE, RELEASE = frozenset({0x16, 0x56}), frozenset({0x17, 0x57})
_TEST_UNIT_READY = 0x00


class Reserve(PersistentUnit):
    _reserved_by: str | None = None  # an initiator's name

    @property
    def is_reserved(self) -> bool:
        return self._reserved_by is not None

    @operation(0x16, "RESERVE(6)", "16 00 00 00 00 00", excludes_direct_access=True)
    @operation(0x56, "RESERVE(10)", "56 00 00 00 00 00 00 00 00 00", excludes_direct_access=True)
    def reserve(self, command: Command) -> None:
        self._reserved_by = command.nexus.name

    @operation(0x17, "RELEASE(6)", "17 00 00 00 00 00", access=Access.NONE)
    @operation(0x57, "RELEASE(10)", "57 00 00 00 00 00 00 00 00 00", access=Access.NONE)
    def release(self, command: Command) -> None:
        """By another initiator than the holder: GOOD, and nothing happens."""
        self._end_reservation(command.nexus)

    def check_access(self, found: Operation, command: Command) -> None:
        someone_else = self._reserved_by not in (None, command.nexus.name)
        if someone_else and _conflicts(found, command.cdb):
            raise conflict()
        super().check_access(found, command)

    def state(self) -> UnitState:
        own = {"reserved": self._reserved_by} if self._reserved_by is not None else {}
        return super().state() | own

    def restore(self, state: UnitState) -> None:
        super().restore(state)
        self._reserved_by = state.get("reserved")

    def reset(self, nexus: Nexus) -> None:
        self._reserved_by = None
        super().reset(nexus)

    def detach(self, nexus: Nexus) -> None:
        self._end_reservation(nexus)
        super().detach(nexus)

    def _end_reservation(self, nexus: Nexus) -> None:
        if self._reserved_by == nexus.name:
            self._reserved_by = None


def _conflicts(found: Operation, cdb: bytes) -> bool:
    """TEST UNIT READY conflicts with these reservations, but not with persistent ones."""
    return found.access_of(cdb) is not Access.NONE or found.opcode == _TEST_UNIT_READY
