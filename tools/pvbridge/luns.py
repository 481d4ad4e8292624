"""The logical units of a bridge, as the command line has them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pvdrivers.backends.stores.store import BlockStore, FileStore, RamStore
from pvdrivers.backends.targets.changer.unit import Changer
from pvdrivers.backends.targets.disk.block_unit import Limits
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.lun import MAX_FLAT

MAX_TRANSFER = 2 << 20  # bytes of a command's data; the disks say so, and the guests' rings can
RAM, TAPE, CHANGER = "ram:", "tape:", "changer:"  # what a medium that is no disk image begins with
UNITS = {"k": 1 << 10, "M": 1 << 20, "G": 1 << 30}
LunOption = Annotated[
    list[str] | None,
    Parameter(
        negative_iterable=(),
        help="NUMBER=IMAGE, a file or block device; NUMBER=ram:SIZE, a disk in memory;"
        " NUMBER=tape:FILE, a tape drive; NUMBER=changer:FOLDER, over the tapes in a folder, whose"
        " drives are those of NUMBER=tape: alone. Such as 0=disk.img, 1=ram:64M. May be given"
        " several times.",
    ),
]


@dataclass(frozen=True, slots=True)
class LunSpec:
    """`kind`: how its text begins, empty for an image; `medium`: the rest."""

    number: int
    kind: str
    medium: str

    @classmethod
    def parse(cls, text: str) -> LunSpec:
        """From NUMBER=IMAGE, NUMBER=ram:SIZE, NUMBER=tape:FILE, NUMBER=tape: or
        NUMBER=changer:FOLDER. UsageError, in one sentence."""
        number, equals, medium = text.partition("=")
        if not (equals and medium and number.isascii() and number.isdigit()):
            raise UsageError(
                f"--lun {text}: write NUMBER=IMAGE, NUMBER=ram:SIZE, NUMBER=tape:FILE or"
                " NUMBER=changer:FOLDER, as in --lun 0=disk.img"
            )
        if int(number) > MAX_FLAT:
            raise UsageError(f"--lun {text}: {number} is not 0 to {MAX_FLAT}")
        kind = next((one for one in (RAM, TAPE, CHANGER) if medium.startswith(one)), "")
        spec = cls(int(number), kind, medium.removeprefix(kind))
        if complaint := spec._complaint():
            raise UsageError(f"--lun {text}: {complaint}")
        return spec

    def _complaint(self) -> str:
        path = Path(self.medium)
        if self.kind == RAM:
            return "" if self._size else "a size is such as 64M or 1G"
        if self.kind == CHANGER:
            return "" if path.is_dir() else f"there is no folder {self.medium or 'named'}"
        if path.exists():  # also of no name: an empty drive
            return ""
        make = f"touch {path}" if self.kind else f"truncate --size 64M {path}"
        return f"no such {'tape' if self.kind else 'image'}; make one: {make}"

    @property
    def is_drive(self) -> bool:
        """A changer's."""
        return self.kind == TAPE and not self.medium

    @property
    def may_block(self) -> bool:
        """While it is opened."""
        return self.kind != RAM

    @property
    def _size(self) -> int:
        """Bytes of a disk in memory; 0: that is no size."""
        unit = UNITS.get(self.medium[-1:], 1)
        digits = self.medium[:-1] if unit > 1 else self.medium
        return int(digits) * unit if digits.isascii() and digits.isdigit() else 0

    def open(self, *drives: Tape) -> LogicalUnit:
        """`drives`: a changer's. UsageError, in one sentence."""
        path = Path(self.medium)
        name = f"LUN {self.number}" if self.kind == RAM or self.is_drive else str(path.resolve())
        if self.kind == RAM:
            return _disk(RamStore(self._size), Identity.of(name, product="RAM DISK"))
        if self.kind == CHANGER:
            return Changer(Identity.of(name, product="CHANGER"), path, drives)
        read_only = not os.access(path, os.W_OK)
        if self.kind == TAPE:
            drive = Tape(Identity.of(name, product="TAPE"))
            if self.medium:
                drive.insert(path, read_only=read_only)
            return drive
        return _disk(FileStore(path, read_only=read_only), Identity.of(name, product="DISK"))


def check_luns(specs: Sequence[LunSpec]) -> None:
    """UsageError: there is none, two have one number, or a changer has not what it needs."""
    numbers = [spec.number for spec in specs]
    if not numbers:
        raise UsageError("there is no --lun: nobody would find anything")
    if twice := [number for number in numbers if numbers.count(number) > 1]:
        raise UsageError(f"--lun {twice[0]}: two have this number")
    changers = [spec.number for spec in specs if spec.kind == CHANGER]
    if len(changers) > 1:
        raise UsageError(f"--lun {changers[1]}: there is a changer, which has all the drives")
    drives = [spec.number for spec in specs if spec.is_drive]
    if changers and not drives:
        raise UsageError(f"--lun {changers[0]}: a changer needs a drive, such as --lun 2=tape:")
    if drives and not changers:
        raise UsageError(f"--lun {drives[0]}: a drive without a tape needs a changer")


def _disk(store: BlockStore, identity: Identity) -> Disk:
    usual = Limits.for_block_size(store.sector_size)
    return Disk(store, identity, limits=replace(usual, transfer=MAX_TRANSFER // store.sector_size))
