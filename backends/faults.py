"""How the queues of a device report faults to its backend, from the thread that drives them."""

import asyncio
import os
from collections.abc import Callable

INTERVAL = 1.0  # seconds between two calls: a disk that fails all its I/O costs the loop little


class FaultWatch:
    """Calls `look` when a queue has written to the eventfd `fd`: at once, then at most once an
    interval."""

    def __init__(self, look: Callable[[], None]) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._listen()

    def _listen(self) -> None:
        self._timer = None
        self._loop.add_reader(self.fd, self._readable)

    def _readable(self) -> None:
        os.eventfd_read(self.fd)
        self._loop.remove_reader(self.fd)
        self._timer = self._loop.call_later(INTERVAL, self._listen)
        self._look()

    def stop(self) -> None:
        """No more calls; queues may still write to `fd`."""
        self._loop.remove_reader(self.fd)
        if self._timer:
            self._timer.cancel()

    def close(self) -> None:
        self.stop()
        os.close(self.fd)
