"""Tape drives and media changers, as a configuration names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pvdrivers.backends.targets.changer.inventory import Inventory
from pvdrivers.backends.targets.changer.unit import PORTS, SLOTS, Changer
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import CAPACITY, Tape
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbackd.rules import brief, check_fields
from pvdrivers.tools.pvbackd.scsi_units import FIELDS, EmulatedKind, UnitKind


class TapeUnit(EmulatedKind, tag="tape", frozen=True):
    """A tape drive, with a cartridge in it unless `cartridge` is empty."""

    product: str = "TAPE"
    cartridge: str = "{lun}"
    read_only: bool = False
    capacity: int = CAPACITY
    block_length: int = 0  # variable

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self.cartridge, FIELDS)
        self._drive(Identity.of("")).close()
        if self.read_only and not self.cartridge:
            raise UsageError("read_only is for a cartridge: an empty drive has none")

    def make(self, identity: Identity, filled: Callable[[str], str], *below: Tape) -> Tape:
        drive = self._drive(identity)
        if self.cartridge:
            drive.insert(Path(filled(self.cartridge)), read_only=self.read_only)
        return drive

    def files(self, unit: Tape, filled: Callable[[str], str]) -> dict[str, bool]:
        return {str(unit.volume.path): not unit.volume.read_only} if unit.volume else {}

    def _drive(self, identity: Identity) -> Tape:
        return Tape(identity, capacity=self.capacity, block_length=self.block_length)


class ChangerUnit(EmulatedKind, tag="changer", frozen=True, kw_only=True):
    """A media changer over a folder of tapes. `drives`: `p-dev`s of units of kind tape."""

    product: str = "CHANGER"
    folder: str = "{lun}"
    drives: tuple[str, ...]
    slots: int = SLOTS
    ports: int = PORTS

    def __post_init__(self) -> None:
        super().__post_init__()
        for text in (self.folder, *self.drives):
            check_fields(text, FIELDS)
        Inventory(Path(), self.slots, self.ports, len(self.drives))
        if len({*self.drives}) != len(self.drives):
            raise UsageError(f"drives {', '.join(self.drives)}: each is there once")

    def stands_on(self, lun: str) -> tuple[str, ...]:
        return tuple(name.replace("{lun}", lun) for name in self.drives)

    def check_below(self, name: str, unit: UnitKind) -> None:
        if not isinstance(unit, TapeUnit) or unit.cartridge:
            raise UsageError(
                f"drive {name!r} of a changer is {brief(unit)}: it has to be of kind tape, with"
                ' cartridge = ""'
            )

    def make(self, identity: Identity, filled: Callable[[str], str], *below: Tape) -> Changer:
        folder = Path(filled(self.folder))
        return Changer(identity, folder, below, slots=self.slots, ports=self.ports)

    def files(self, unit: Changer, filled: Callable[[str], str]) -> dict[str, bool]:
        inventory = unit.inventory
        return {str(inventory.path_of(one)): True for one in inventory.cartridges.values()}
