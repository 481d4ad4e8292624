"""A medium changer, as SCSI initiators know it, over a folder of tapes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pvdrivers.backends.targets.changer.inventory import Cartridge, Inventory, Kind, tapes_in
from pvdrivers.backends.targets.changer.moves import Moves
from pvdrivers.backends.targets.changer.pages import Pages
from pvdrivers.backends.targets.changer.status import ElementStatus
from pvdrivers.backends.targets.journal import Journal
from pvdrivers.backends.targets.logical_unit import UnitStatus
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.ring.errors import UsageError

SMC_3_DESCRIPTOR = 0x0480
SLOTS, PORTS = 24, 4  # unless told otherwise


class Changer(Moves, ElementStatus, Pages):
    """The tapes are the files of `folder` that end with .tap, which stay where they are: the
    changer says which drive has one. What is in no drive is in slots at first, in the order of the
    names.

    `drives`: tape units that initiators reach at LUNs of their own, closed by whoever made them
    after the changer. With journals they are taken up before the changer or after it.

    UsageError: a number is out of range, there is no folder, or a drive is another changer's or has
    what is no tape of the folder.
    """

    device_type = 0x08
    removable = True
    standards = (SMC_3_DESCRIPTOR,)

    def __init__(
        self,
        identity: Identity,
        folder: Path,
        drives: Sequence[Tape],
        *,
        slots: int = SLOTS,
        ports: int = PORTS,
    ) -> None:
        self.drives = drives
        self.inventory = Inventory(folder, slots, ports, len(drives))
        self._look_into_drives()
        there = {cartridge.name for cartridge in self.inventory.cartridges.values()}
        new = [name for name in tapes_in(folder) if name not in there]
        self._not_placed: UsageError | None = None
        try:
            self.inventory.put(new, Kind.STORAGE)
        except UsageError as error:
            self._not_placed = error
        super().__init__(identity)
        for drive in drives:
            drive.changer = identity.serial

    def take_up(self, journal: Journal) -> None:
        """UsageError: the slots have no room for all tapes, or a name is no barcode. An earlier
        process may have known what to do with them."""
        if journal.state is None and self._not_placed:
            raise self._not_placed
        super().take_up(journal)

    def _look_into_drives(self) -> None:
        """An earlier changer may have left tapes there."""
        folder, addresses = self.inventory.folder, self.inventory.addresses(Kind.DRIVE)
        for address, drive in zip(addresses, self.drives, strict=True):
            if drive.changer:
                raise UsageError(f"{drive!r} is a drive of the changer {drive.changer} already")
            if path := drive.cartridge:
                if path.parent != folder:
                    raise UsageError(
                        f"{drive!r} has what is no tape of {folder}: a changer's drive is empty"
                        " at first"
                    )
                self.inventory.cartridges[address] = Cartridge(path.name)

    def close(self) -> None:
        for drive in self.drives:
            if drive.changer == self.identity.serial:
                drive.changer = ""
        super().close()

    def status(self) -> UnitStatus:
        drives = self.inventory.addresses(Kind.DRIVE)
        places = [*self.inventory.cartridges]
        filled = sum(place in drives for place in places)
        return UnitStatus("changer", f"{len(places)} tapes, {filled} in drives")

    def __repr__(self) -> str:
        return f"<Changer {self.identity.serial} over {self.inventory.folder}>"
