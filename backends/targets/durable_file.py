"""A small file that is replaced as a whole, and survives a loss of power."""

from __future__ import annotations

import os
from pathlib import Path

_NEW = ".new"


class DurableFile:
    """OSError of all methods: the file system does not let them."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def read(self) -> bytes:
        """Nothing if there is no file."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    def write(self, content: bytes) -> None:
        """It is there, after any loss of power, when this returns; before, what was there. Nothing
        leaves no file."""
        if content:
            self._replace(content)
        else:
            self.path.unlink(missing_ok=True)
        self._sync_directory()

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
        return f"<DurableFile {self.path}>"
