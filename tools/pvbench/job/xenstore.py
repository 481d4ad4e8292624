"""The control plane of a benchmark: a loop in a thread, and a xenstore with its toolstack."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.toolstack.devices import DeviceConfig, add_device
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.server import SocketServer
from pvdrivers.xenstore.store import XenStore

PATIENCE = 30.0  # seconds for anything that happens on the loop

T = TypeVar("T")


class Loop:
    """An asyncio loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the loop and waits for its result."""
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)
        except TimeoutError:
            raise BenchError("the two halves did not connect in time") from None

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Xenstore:
    """A store on a Unix socket, and the toolstack that adds disks."""

    def __init__(self, socket: str) -> None:
        self._loop = Loop()
        self._store = XenStore()
        self._server = SocketServer(self._store, socket)
        self._toolstack = self._loop.call(self._start())

    async def _start(self) -> XenstoreClient:
        await self._server.start()
        return XenstoreClient.in_process(self._store)

    def add(self, config: DeviceConfig) -> None:
        self._loop.call(add_device(self._toolstack, config))

    def close(self) -> None:
        self._loop.call(self._server.close())
        self._loop.close()
