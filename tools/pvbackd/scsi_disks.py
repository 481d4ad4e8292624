"""SCSI disks, as a configuration names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbackd.scsi_units import FIELDS, EmulatedKind
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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_paths((self.store, *self.filters), FIELDS)
        Disk.check_refused(self.refuse)
        if self.read_only and not isinstance(self.store, File):
            raise UsageError("read_only is for a store of kind file: another has no content")

    def make(self, identity: Identity, filled: Callable[[str], str], *below: Any) -> Disk:
        filters = [with_path(layer, filled) for layer in self.filters]
        store = put_filters(with_path(self.store, filled).open(self.read_only), filters)
        try:
            return Disk(store, identity, refuse=self.refuse)
        except BaseException:
            store.close()
            raise
