"""The logical units of the target, as the command line has them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from pvdrivers.backends.stores.store import BlockStore, FileStore, RamStore
from pvdrivers.backends.targets.disk.block_unit import Limits
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.ring.errors import UsageError

MAX_LUN = 0x3FFF  # of the flat address method
MAX_TRANSFER = 2 << 20  # bytes of a command's data; the disks say so, and the guests' rings can
RAM = "ram:"
UNITS = {"k": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class LunSpec:
    """`medium`: an image's path, or ram:SIZE."""

    number: int
    medium: str

    @classmethod
    def parse(cls, text: str) -> LunSpec:
        """From NUMBER=IMAGE or NUMBER=ram:SIZE. UsageError, in one sentence."""
        number, equals, medium = text.partition("=")
        if not (equals and medium and number.isascii() and number.isdigit()):
            raise UsageError(
                f"--lun {text}: write NUMBER=IMAGE or NUMBER=ram:SIZE, as in --lun 0=disk.img"
            )
        if int(number) > MAX_LUN:
            raise UsageError(f"--lun {text}: {number} is not 0 to {MAX_LUN}")
        spec = cls(int(number), medium)
        if not spec.ram and not Path(medium).exists():
            raise UsageError(f"--lun {text}: no such image; make one: truncate --size 64M {medium}")
        return spec

    @property
    def ram(self) -> int:
        """Bytes of a disk in memory; 0: it is an image. UsageError: that is no size."""
        if not self.medium.startswith(RAM):
            return 0
        size = self.medium.removeprefix(RAM)
        unit = UNITS.get(size[-1:], 1)
        digits = size[:-1] if unit > 1 else size
        if not (digits.isascii() and digits.isdigit() and int(digits)):
            raise UsageError(f"--lun {self.number}={self.medium}: a size is such as 64M or 1G")
        return int(digits) * unit

    def open(self) -> LogicalUnit:
        """May block as a file's server does. UsageError, in one sentence."""
        if self.ram:
            identity = Identity.of(f"LUN {self.number}", product="RAM DISK")
            return _disk(RamStore(self.ram), identity)
        store = FileStore(self.medium, read_only=not os.access(self.medium, os.W_OK))
        return _disk(store, Identity.of(str(Path(self.medium).resolve()), product="DISK"))


def _disk(store: BlockStore, identity: Identity) -> Disk:
    usual = Limits.for_block_size(store.sector_size)
    return Disk(store, identity, limits=replace(usual, transfer=MAX_TRANSFER // store.sector_size))
