"""What a block backend's queues tell of: operations that the store has failed, broken rings."""

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.backends.stores.store import Operation

log = logging.getLogger("pvdrivers.backends.vbd")

INTERVAL = 1.0  # seconds between two looks: a disk that fails all its I/O costs the loop little


@dataclass(frozen=True, slots=True)
class StoreError:
    """An operation that a store has failed."""

    operation: Operation
    sector: int  # where it begins, in units of 512 bytes
    sectors: int
    error: int  # errno

    def __str__(self) -> str:
        name = errno.errorcode.get(self.error, str(self.error))
        where = f" of {self.sectors} sectors at {self.sector}" if self.sectors else ""
        return f"{self.operation.name.lower()}{where}: {name}"


class StoreErrors:
    """The errors of one device's store, over all its connections."""

    def __init__(self, path: str) -> None:
        self.last: StoreError | None = None
        self.count = 0
        self._path = path
        self._seen: dict[Any, int] = {}  # of each queue's

    def take(self, queue: Any, store: object) -> None:
        """Logs what is new of a `struct pv_blkback_queue *` that `store` serves."""
        last = ffi.new("struct pv_blkback_store_error *")
        lib.pv_blkback_take_trouble(queue, last)
        new = int(last.count) - self._seen.get(queue, 0)
        if not new:
            return
        self._seen[queue] = int(last.count)
        self.count += new
        self.last = StoreError(Operation(last.op), last.sector, last.nr_sectors, last.error)
        log.error("%s: %s, %d failures so far, on %r", self._path, self.last, self.count, store)

    def forget(self, queue: Any) -> None:
        """Another may come to lie at its address."""
        self._seen.pop(queue, None)


class TroubleWatch:
    """Calls `look` when a queue has written to `fd`: at once, and then once an interval at most."""

    def __init__(self, look: Callable[[], None]) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._listen()

    def _listen(self) -> None:
        self._timer = None
        self._loop.add_reader(self.fd, self._told)

    def _told(self) -> None:
        os.eventfd_read(self.fd)
        self._loop.remove_reader(self.fd)
        self._timer = self._loop.call_later(INTERVAL, self._listen)
        self._look()

    def stop(self) -> None:
        """Does not look any more; queues may still write to `fd`."""
        self._loop.remove_reader(self.fd)
        if self._timer:
            self._timer.cancel()

    def close(self) -> None:
        self.stop()
        os.close(self.fd)
