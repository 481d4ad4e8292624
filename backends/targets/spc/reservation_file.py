"""A file that keeps persistent reservations over a loss of power (APTPL)."""

from __future__ import annotations

import os
from pathlib import Path

from pvdrivers.backends.targets.spc.reservations import Reservations
from pvdrivers.ring.errors import UsageError

_NEW = ".new"


class ReservationFile:
    """OSError of all methods: the file system does not let them."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._content = self._read()

    def load(self) -> Reservations:
        """Those that were saved last; none if there is no file. UsageError: it is no such file."""
        if not self._content:
            return Reservations()
        try:
            return Reservations.decode(self._content)
        except ValueError as error:
            raise UsageError(
                f"{self.path} is not a file of reservations ({error}); without it they are lost"
            ) from error

    def save(self, reservations: Reservations) -> None:
        """They are there, after any loss of power, when this returns; before, what was there. Those
        that are not to survive leave no file."""
        content = reservations.encode() if reservations.survives else b""
        if content == self._content:
            return
        if content:
            self._replace(content)
        else:
            self.path.unlink(missing_ok=True)
        self._sync_directory()
        self._content = content

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    def _replace(self, content: bytes) -> None:
        new = self.path.with_name(self.path.name + _NEW)
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)

    def _sync_directory(self) -> None:
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def __repr__(self) -> str:
        return f"<ReservationFile {self.path}>"
