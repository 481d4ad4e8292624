"""A file that keeps persistent reservations over a loss of power (APTPL)."""

from __future__ import annotations

import os

from pvdrivers.backends.targets.durable_file import DurableFile
from pvdrivers.backends.targets.spc.reservations import Reservations
from pvdrivers.ring.errors import UsageError


class ReservationFile:
    """OSError of all methods: the file system does not let them."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = DurableFile(path)
        self._content = self._file.read()

    def load(self) -> Reservations:
        """Those that were saved last; none if there is no file. UsageError: it is no such file."""
        if not self._content:
            return Reservations()
        try:
            return Reservations.decode(self._content)
        except ValueError as error:
            raise UsageError(
                f"{self._file.path} is not a file of reservations ({error}); without it they are"
                " lost"
            ) from error

    def save(self, reservations: Reservations) -> None:
        """They are there, after any loss of power, when this returns; before, what was there. Those
        that are not to survive leave no file."""
        content = reservations.encode() if reservations.survives else b""
        if content != self._content:
            self._file.write(content)
            self._content = content

    def __repr__(self) -> str:
        return f"<ReservationFile {self._file.path}>"
