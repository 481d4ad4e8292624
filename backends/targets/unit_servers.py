"""Who calls a unit's `serve` when its file descriptor is readable."""

from __future__ import annotations

import asyncio
import threading
from typing import Protocol


class Served(Protocol):
    def fileno(self) -> int: ...

    def serve(self) -> None: ...


class LoopServer:
    """The running loop."""

    def __init__(self, served: Served) -> None:
        self._fd = served.fileno()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, served.serve)

    def stop(self) -> None:
        self._loop.remove_reader(self._fd)


class ThreadServer:
    """A loop in a daemon thread: what blocks for ever in a unit must not hold up the end of the
    process. A unit that waits for file descriptors or for the time does so on that loop."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=repr(served), daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = LoopServer(self._served)
        await self._stopping.wait()
        server.stop()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
