"""A process that ends at any of its stores: a change of the journal's memory, of an image or of its
length, or of the list of partitions. It ends in the middle of one or after it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from pvdrivers.backends.targets.durable_file import DurableFile
from pvdrivers.backends.targets.journal import journal_size
from pvdrivers.backends.targets.tape.unit import Tape


class Killed(BaseException):
    """The process is no more."""


class Stores:
    """Counts stores, and ends the process at one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None  # until then
        self.torn = False
        pwritev, ftruncate, replace = os.pwritev, os.ftruncate, DurableFile.write

        def write_parts(fd: int, parts: list[bytes], offset: int) -> Any:
            data = b"".join(parts)
            return self.carry_out(
                lambda: os.pwrite(fd, data[: len(data) // 2], offset),
                lambda: pwritev(fd, parts, offset),
            )

        def truncate(fd: int, size: int) -> Any:
            return self.carry_out(lambda: None, lambda: ftruncate(fd, size))

        def write_whole(file: DurableFile, content: bytes) -> Any:
            return self.carry_out(lambda: None, lambda: replace(file, content))

        monkeypatch.setattr(os, "pwritev", write_parts)
        monkeypatch.setattr(os, "ftruncate", truncate)
        monkeypatch.setattr(DurableFile, "write", write_whole)

    def carry_out(self, half: Callable[[], Any], whole: Callable[[], Any]) -> Any:
        if self.left is None:
            return whole()
        self.left -= 1
        if self.left < 0:
            self.left = None
            half() if self.torn else whole()
            raise Killed
        return whole()


class Memory:
    """A journal's."""

    def __init__(self, stores: Stores) -> None:
        self.stored = bytearray(journal_size(Tape.journal_room))
        self._stores = stores

    def __getitem__(self, place: slice) -> bytes:
        return bytes(self.stored[place])

    def __setitem__(self, place: slice, data: bytes) -> None:
        middle = place.start + len(data) // 2

        def half() -> None:
            self.stored[place.start : middle] = data[: len(data) // 2]

        self._stores.carry_out(half, lambda: self.stored.__setitem__(place, data))
