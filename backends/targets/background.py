"""Work that goes on after the command that began it has been answered (IMMED)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

Steps = Iterator[float]  # each does a part of the work, and tells how much is done, 0 to 1


class Background(Protocol):
    """Who carries out one unit's steps, one after the other. A program may do so on its loop."""

    def start(self, steps: Steps) -> None:
        """Returns before they are done. Not while there are others."""

    def stop(self) -> None:
        """Carries out no more, and returns when the one under way has ended."""


class BackgroundThread:
    """A thread of its own for as long as there is work."""

    def __init__(self) -> None:
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self, steps: Steps) -> None:
        self._thread = threading.Thread(target=self._carry_out, args=(steps,), daemon=True)
        self._thread.start()

    def _carry_out(self, steps: Steps) -> None:
        for _ in steps:
            if self._stopping:
                return

    def stop(self) -> None:
        self._stopping = True
        if self._thread:
            self._thread.join()
