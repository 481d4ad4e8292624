"""The logical units a configuration can name, and how they are opened for a LUN."""

from __future__ import annotations

from functools import partial

from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.spc.reservation_file import ReservationFile
from pvdrivers.daemon_threads import open_in_daemon_thread
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbackd.rules import Kind, check_fields
from pvdrivers.tools.pvbackd.stores import (
    File,
    FilterConfig,
    OwnStore,
    check_paths,
    put_filters,
    with_path,
)

FIELDS = ("lun",)  # what a path may hold


def path_for(text: str, lun: str) -> str:
    """A configured path with {lun}, which is one name in a folder, replaced by a LUN's `p-dev`.
    That may be the path itself: UsageError, if it is none."""
    if text not in ("", "{lun}"):
        return text.replace("{lun}", lun.replace("/", "_"))
    if not lun.startswith("/"):
        raise UsageError(f"p-dev {lun!r} is not a file's path")
    return lun


class DiskUnit(Kind, tag="disk", frozen=True):
    """A disk on a store. Texts are as Identity has them; serial and NAA follow from `p-dev`."""

    store: OwnStore = File()
    filters: tuple[FilterConfig, ...] = ()
    read_only: bool = False
    vendor: str = "PVDRIVER"
    product: str = "DISK"
    revision: str = "0001"
    serial: str = ""  # empty: from `p-dev`
    refuse: tuple[str, ...] = ()  # names of commands
    reservations: str = ""  # a file for those that outlive a loss of power (APTPL); else none do

    def __post_init__(self) -> None:
        check_paths((self.store, *self.filters), FIELDS)
        check_fields(self.reservations, FIELDS)
        self._identity("")
        Disk.check_refused(self.refuse)
        if self.read_only and not isinstance(self.store, File):
            raise UsageError("read_only is for a store of kind file: another has no content")

    async def open(self, lun: str) -> LogicalUnit:
        return await open_in_daemon_thread(partial(self._open, lun))

    def _open(self, lun: str) -> Disk:
        filled = partial(path_for, lun=lun)
        filters = [with_path(layer, filled) for layer in self.filters]
        store = put_filters(with_path(self.store, filled).open(self.read_only), filters)
        try:
            unit = Disk(store, self._identity(lun), refuse=self.refuse)
            if self.reservations:
                unit.keep_reservations_in(ReservationFile(filled(self.reservations)))
        except BaseException:
            store.close()
            raise
        return unit

    def _identity(self, lun: str) -> Identity:
        texts = {"vendor": self.vendor, "revision": self.revision}
        if self.serial:
            texts["serial"] = self.serial
        return Identity.of(lun, product=self.product, **texts)


UnitConfig = DiskUnit
