"""What all logical units that a configuration can name have."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.spc.reservation_file import ReservationFile
from pvdrivers.backends.targets.spc.unit import PrimaryUnit
from pvdrivers.daemon_threads import open_in_daemon_thread
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.config_file import Kind
from pvdrivers.tools.pvbackd.rules import check_fields

FIELDS = ("lun",)  # what a path may hold


def path_for(text: str, lun: str) -> str:
    """A configured path with {lun}, which is one name in a folder, replaced by a LUN's `p-dev`.
    That may be the path itself: UsageError, if it is none."""
    if text not in ("", "{lun}"):
        return text.replace("{lun}", lun.replace("/", "_"))
    if not lun.startswith("/"):
        raise UsageError(f"p-dev {lun!r} is not a file's path")
    return lun


class UnitKind(Kind, frozen=True):
    """A kind of logical unit, with its keys. msgspec's structs are no ABCs, so it is mypy that
    refuses a kind without what is abstract here."""

    def stands_on(self, lun: str) -> tuple[str, ...]:
        """`p-dev`s of the units that it is made of."""
        return ()

    def check_below(self, name: str, unit: UnitKind) -> None:
        """UsageError: what it is to stand on cannot be that."""

    @abstractmethod
    async def open(self, lun: str, *below: Any) -> LogicalUnit:
        """`below`: the units that it stands on, open."""


class EmulatedKind(UnitKind, frozen=True):
    """Of a unit that pvdrivers emulates. Texts are as Identity has them; serial and NAA follow from
    `p-dev`."""

    vendor: str = "PVDRIVER"
    product: str = "LOGICAL UNIT"
    revision: str = "0001"
    serial: str = ""  # empty: from `p-dev`
    reservations: str = ""  # a file for those that outlive a loss of power (APTPL); else none do

    def __post_init__(self) -> None:
        check_fields(self.reservations, FIELDS)
        self._identity("")

    async def open(self, lun: str, *below: Any) -> LogicalUnit:
        return await open_in_daemon_thread(partial(self._open, lun, *below))

    def _open(self, lun: str, *below: Any) -> PrimaryUnit:
        filled = partial(path_for, lun=lun)
        unit = self.make(self._identity(lun), filled, *below)
        try:
            files = self.files(unit, filled)
            if self.reservations:
                path = filled(self.reservations)
                files[path] = True
                unit.keep_reservations_in(_reservation_file(path))
            unit.files = {os.path.realpath(path): written for path, written in files.items()}
        except BaseException:
            unit.close()
            raise
        return unit

    @abstractmethod
    def make(self, identity: Identity, filled: Callable[[str], str], *below: Any) -> PrimaryUnit:
        """The unit; `filled` gives paths. It may block."""

    def files(self, unit: Any, filled: Callable[[str], str]) -> dict[str, bool]:
        """Paths of what the unit stands on, and whether it writes there."""
        return {}

    def _identity(self, lun: str) -> Identity:
        texts = {"vendor": self.vendor, "revision": self.revision}
        if self.serial:
            texts["serial"] = self.serial
        return Identity.of(lun, product=self.product, **texts)


def _reservation_file(path: str) -> ReservationFile:
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise UsageError(f"reservations {path}: there is no folder {folder}")
    try:
        return ReservationFile(path)
    except OSError as error:
        raise UsageError(f"reservations {path}: {error.strerror}") from error
