"""What all commands of a changer stand on: its inventory, and the drives in it."""

from __future__ import annotations

from collections.abc import Sequence

from pvdrivers.backends.targets.changer.inventory import FIRST, Inventory, Kind
from pvdrivers.backends.targets.command import illegal_request
from pvdrivers.backends.targets.spc.unit import PrimaryUnit
from pvdrivers.backends.targets.tape.unit import Tape

INVALID_ELEMENT_ADDRESS = (0x21, 0x01)


class ChangerUnit(PrimaryUnit):
    inventory: Inventory
    drives: Sequence[Tape]

    def kind_of(self, address: int) -> Kind:
        """CheckCondition: there is no such element."""
        kind = self.inventory.kind_of(address)
        if kind is None:
            raise illegal_request(INVALID_ELEMENT_ADDRESS)
        return kind

    def drive_at(self, address: int) -> Tape | None:
        """None: no drive is there."""
        if self.inventory.kind_of(address) is not Kind.DRIVE:
            return None
        return self.drives[address - FIRST[Kind.DRIVE]]
