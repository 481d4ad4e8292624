"""SCSI disks, as a configuration names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pvdrivers.backends.stores.store import FileStore
from pvdrivers.backends.targets.disk.snapshot import Snapshot, make_snapshot_file
from pvdrivers.backends.targets.disk.snapshots import SnapshotDisk
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbackd.rules import brief, check_fields
from pvdrivers.tools.pvbackd.scsi_units import FIELDS, EmulatedKind, UnitKind
from pvdrivers.tools.pvbackd.stores import (
    File,
    FilterConfig,
    OwnStore,
    check_paths,
    put_filters,
    with_path,
)


class DiskUnit(EmulatedKind, tag="disk", frozen=True):
    """A disk on a store."""

    product: str = "DISK"
    store: OwnStore = File()
    filters: tuple[FilterConfig, ...] = ()
    read_only: bool = False
    refuse: tuple[str, ...] = ()  # names of commands
    snapshots: tuple[str, ...] = ()  # a file for each that guests may take: 1, 2 …
    copies: bool = True  # between this one and other LUNs of a guest, by its commands

    def __post_init__(self) -> None:
        super().__post_init__()
        check_paths((self.store, *self.filters), FIELDS)
        for path in self.snapshots:
            check_fields(path, FIELDS)
        Disk.check_refused(self.refuse)
        if self.read_only and not isinstance(self.store, File):
            raise UsageError("read_only is for a store of kind file: another has no content")

    def make(self, identity: Identity, filled: Callable[[str], str], *below: Any) -> Disk:
        filters = [with_path(layer, filled) for layer in self.filters]
        store = put_filters(with_path(self.store, filled).open(self.read_only), filters)
        try:
            disk = Disk(store, identity, refuse=self.refuse)
        except BaseException:
            store.close()
            raise
        try:
            disk.joins_copies = self.copies
            for number, path in enumerate(self.snapshots, 1):
                disk.snapshots[number] = _snapshot(disk, filled(path))
        except BaseException:
            disk.close()
            raise
        return disk

    def files(self, unit: Disk, filled: Callable[[str], str]) -> dict[str, bool]:
        files = dict.fromkeys(map(filled, self.snapshots), True)
        if isinstance(self.store, File):
            files[filled(self.store.path)] = not unit.store.read_only
        return files


class SnapshotUnit(EmulatedKind, tag="snapshot", frozen=True, kw_only=True):
    """What a disk was when its snapshot of that number was taken."""

    product: str = "SNAPSHOT"
    disk: str  # its `p-dev`
    number: int = 1
    copies: bool = True

    def stands_on(self, lun: str) -> tuple[str, ...]:
        return (self.disk,)

    def check_below(self, name: str, unit: UnitKind) -> None:
        if not isinstance(unit, DiskUnit) or not 0 < self.number <= len(unit.snapshots):
            raise UsageError(
                f"{name!r}, whose snapshot {self.number} a unit is to be, is {brief(unit)}: it has"
                " to be of kind disk, with so many `snapshots`"
            )

    def make(self, identity: Identity, filled: Callable[[str], str], *below: Disk) -> SnapshotDisk:
        [disk] = below
        unit = SnapshotDisk(disk.snapshots[self.number], identity)
        unit.joins_copies = self.copies
        return unit


def _snapshot(disk: Disk, path: str) -> Snapshot:
    make_snapshot_file(path, disk.medium.blocks * disk.medium.block_size)
    store = FileStore(path)
    try:
        return Snapshot(disk.medium, store)
    except BaseException:
        store.close()
        raise
