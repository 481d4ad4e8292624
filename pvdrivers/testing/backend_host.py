"""Where xenstore and the backend of a loopback run: on the test's loop, or in a thread."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from pvdrivers.backends.service import Service
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.testing.device_under_test import DeviceUnderTest
from pvdrivers.toolstack.xenstore_rings import GuestRings
from pvdrivers.xenbus.device import BackendDevice
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.server import SocketServer
from pvdrivers.xenstore.store import XenStore

START_TIMEOUT = 60.0  # seconds for a thread or a process to be ready
DOM0 = 0


class BackendHost:
    """What a loopback needs of where xenstore and the backend run."""

    def __init__(self, machine: Machine, folder: Path, device: DeviceUnderTest) -> None:
        self.machine = machine
        self.folder = folder
        self.device = device

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def make_service(self, client: XenstoreClient) -> Service[Any, Any]:
        """dom0's service, in this process."""
        assert self.device.serve
        return self.device.serve(client, self.machine.open_hypervisor(DOM0), None)

    async def start(self, tasks: AsyncExitStack) -> None:
        """Everything is up when it returns; what it leaves on `tasks` is undone at the end."""

    async def connect_toolstack(self) -> XenstoreClient:
        """A toolstack's connection to xenstore."""
        return await XenstoreClient.connect(self.folder / "xenstored")

    def backend(self, path: str) -> BackendDevice:
        raise UsageError("the backend does not live in this loop")

    @property
    def is_serving(self) -> bool:
        """Whether xenstore and the backend are there, to close devices with."""
        return True

    @property
    def daemon(self) -> subprocess.Popen[bytes]:
        raise UsageError("no daemon serves the device")

    def start_backend(self) -> None:
        raise UsageError("only mode processes has a backend that can be started again")

    def kill_backend(self, number: int = signal.SIGKILL) -> None:
        raise UsageError("only mode processes has a backend that can be killed")

    def kill_xenstore(self) -> None:
        raise UsageError("only mode processes has a xenstore that can be killed")


async def serve_xenstore(machine: Machine, path: Path, tasks: AsyncExitStack) -> None:
    """A xenstore on a socket and on every guest's ring."""
    store = XenStore()
    tasks.callback(GuestRings(store, machine, DOM0).close)
    await tasks.enter_async_context(SocketServer(store, str(path)))


class LoopHost(BackendHost):
    """Everything on the loop of the test."""

    async def start(self, tasks: AsyncExitStack) -> None:
        self._store = XenStore()
        tasks.callback(GuestRings(self._store, self.machine, DOM0).close)
        client = await self.connect_toolstack()
        tasks.callback(client.close)
        self._service = self.make_service(client)
        await tasks.enter_async_context(self._service)

    async def connect_toolstack(self) -> XenstoreClient:
        return XenstoreClient.in_process(self._store, DOM0)

    def backend(self, path: str) -> BackendDevice:
        device = self._service.devices[path]
        assert isinstance(device, BackendDevice)
        return device


class ThreadHost(BackendHost):
    """xenstore and the backend on a loop in a thread of their own."""

    def __enter__(self) -> Self:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._thread.ident is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    async def start(self, tasks: AsyncExitStack) -> None:
        self._thread.start()
        if not await asyncio.to_thread(self._ready.wait, START_TIMEOUT):
            raise RuntimeError("the backend's thread did not start")

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with AsyncExitStack() as tasks:
            await serve_xenstore(self.machine, self.folder / "xenstored", tasks)
            client = await self.connect_toolstack()
            tasks.callback(client.close)
            await tasks.enter_async_context(self.make_service(client))
            self._ready.set()
            await self._stop.wait()
