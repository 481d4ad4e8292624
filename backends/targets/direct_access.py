"""What READ and WRITE of a unit's initiators may do without it (targets/unit.h)."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from pvdrivers._core import lib
from pvdrivers.backends.owned import created
from pvdrivers.backends.targets.command import Nexus
from pvdrivers.backends.targets.logical_unit import LogicalUnit, ask


class UnitNexus:
    """A nexus of a unit: `pointer` is what a queue's LUN table takes, until `detach`."""

    def __init__(self, unit_pointer: Any, nexus: Nexus, number: int) -> None:
        """OSError: no memory."""
        self.pointer = created(lib.pv_scsi_unit_attach(unit_pointer, number), "nexus")
        self.nexus = nexus
        self.number = number
        self.permitted = (False, False)
        self.is_leaving = False  # its commands are not wanted

    @property
    def is_used(self) -> bool:
        """Whether a queue still names it, or has commands of it in flight."""
        return bool(lib.pv_scsi_nexus_is_used(self.pointer))


class DirectAccess:
    """Of all `nexuses`, a live view of those there are. By the thread that serves the unit."""

    def __init__(
        self, unit: LogicalUnit, unit_pointer: Any, nexuses: Collection[UnitNexus]
    ) -> None:
        self._unit = unit
        self._unit_pointer = unit_pointer
        self._nexuses = nexuses
        self.is_excluded = False  # for the next command or the one that is started

    def exclude(self) -> bool:
        """Whether none is under way; else its end makes the unit's file descriptor readable."""
        self.is_excluded = True
        for attached in self._nexuses:
            attached.permitted = (False, False)
        return bool(lib.pv_scsi_unit_exclude_direct(self._unit_pointer))

    def end_exclusion(self) -> None:
        self.is_excluded = False
        self.permit()

    def permit(self) -> None:
        """Lets every initiator do directly what the unit allows it now."""
        if not self._unit.store or self.is_excluded:
            return
        for attached in self._nexuses:
            asked = partial(self._unit.direct_access, attached.nexus)
            permitted = ask(self._unit, asked, (False, False))
            if permitted != attached.permitted:
                attached.permitted = permitted
                lib.pv_scsi_nexus_permit(attached.pointer, *permitted)
