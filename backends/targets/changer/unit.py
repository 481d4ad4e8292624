"""A medium changer, as SCSI initiators know it, over a folder of tapes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pvdrivers.backends.targets.changer.inventory import Inventory, Kind, tapes_in
from pvdrivers.backends.targets.changer.moves import Moves
from pvdrivers.backends.targets.changer.pages import Pages
from pvdrivers.backends.targets.changer.status import ElementStatus
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.ring.errors import UsageError

SMC_3_DESCRIPTOR = 0x0480
SLOTS, PORTS = 24, 4  # unless told otherwise


class Changer(Moves, ElementStatus, Pages):
    """The tapes are the files of `folder` that end with .tap, which stay where they are: the
    changer says which drive has one. They are in slots at first, in the order of their names.

    `drives`: tape units that initiators reach at LUNs of their own; empty, and closed by whoever
    made them. With journals they are taken up before the changer or after it.

    UsageError: a number is out of range, a name is no barcode, or a tape has no room.
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
        for drive in drives:
            if drive.cartridge:
                raise UsageError(f"{drive!r}: a changer's drives are empty at first")
        self.inventory.put(tapes_in(folder), Kind.STORAGE)
        super().__init__(identity)

    def __repr__(self) -> str:
        return f"<Changer {self.identity.serial} over {self.inventory.folder}>"
