"""Both ends of the device on xenbus. What they agree on comes to pass as in any other program;
only the queues, once connected, are left to the benchmark's own threads."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pvdrivers.backends.vbd.device import VbdBackend
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.job.job import Job
from pvdrivers.toolstack.devices import DeviceConfig, add_device
from pvdrivers.vbd.config import disk_config
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
            raise BenchError("the two halves did not come together in time") from None

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def device_config(job: Job, frontend: int, backend: int) -> DeviceConfig:
    """The disk a toolstack would have configured for a job."""
    if job.backend == "qemu":  # which refuses a disk it may not write to
        params = f"aio:{job.store.path}"
        return disk_config(
            "xvda", frontend, backend, kind="qdisk", params=params, trusted=job.trusted
        )
    writable = not job.store.read_only
    return disk_config("xvda", frontend, backend, writable=writable, trusted=job.trusted)


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


class DrivenFrontend(VbdFrontend):
    """`leave` is called before the queues go away, and must not return before they are unused."""

    leave: Callable[[], None]

    def serve(self) -> None:
        """The workload's thread does."""

    async def disconnect(self) -> None:
        await asyncio.to_thread(self.leave)
        await super().disconnect()


class DrivenBackend(VbdBackend):
    """`pump` is called with the queues, `leave` before they go away."""

    pump: Callable[[list[Any]], None]
    leave: Callable[[], None]

    def serve(self) -> None:
        self.pump([queue.pointer for queue in self.queues])

    async def disconnect(self) -> None:
        await asyncio.to_thread(self.leave)
        await super().disconnect()
