"""Where xenstore and the backend of a loopback run: this loop, a thread, or processes."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol, Self

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.service import DeviceClass, Service
from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.backends.vbd.disk import DiskConfig, read_disk
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.toolstack.boot import GuestRings
from pvdrivers.xenbus.device import BackendDevice
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.server import SocketServer
from pvdrivers.xenstore.store import XenStore


class BackendFactory(Protocol):
    """Makes the driver of the disk's backend, which does not own the store."""

    def __call__(
        self, context: DeviceContext, store: BlockStore, options: VbdBackendOptions, /
    ) -> BackendDevice: ...


@dataclass(frozen=True, slots=True)
class BackendPlan:
    """What the backend's side starts; picklable, so that it can be another process."""

    make_store: Callable[[], BlockStore] | None
    make_backend: BackendFactory
    options: VbdBackendOptions
    daemon: tuple[str, ...] = ()  # a program instead, mode processes


START_TIMEOUT = 60.0  # seconds for a child process to be ready
NOT_STARTED = (
    "mode processes: xenstore's process has ended at its start; in a script of your own, put what"
    ' makes a Loopback below `if __name__ == "__main__":`, since each process imports the script'
)
DOM0 = 0


Disks = Service[DiskConfig, VbdBackendOptions]


def disks_of(client: XenstoreClient, hypervisor: Hypervisor, plan: BackendPlan) -> Disks:
    """dom0's VBD backends, all on one store."""
    assert plan.make_store
    store = plan.make_store()

    async def make(
        context: DeviceContext, disk: DiskConfig, options: VbdBackendOptions
    ) -> BackendDevice:
        return plan.make_backend(context, store, options)

    device_class = DeviceClass("vbd", read_disk, make)
    return Service(device_class, client, hypervisor, lambda disk: plan.options)


class Side:
    """What a loopback needs of where xenstore and the backend run."""

    def __init__(self, machine: Machine, folder: Path, plan: BackendPlan) -> None:
        self.machine = machine
        self.folder = folder
        self.plan = plan

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

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
        raise UsageError("no daemon serves the disk")

    def start_backend(self) -> None:
        raise UsageError("only mode processes has a backend that can be started again")

    def kill_backend(self, number: int = signal.SIGKILL) -> None:
        raise UsageError("only mode processes has a backend that can be killed")

    def kill_xenstore(self) -> None:
        raise UsageError("only mode processes has a xenstore that can be killed")


class InLoop(Side):
    """Everything on the loop of the test."""

    async def start(self, tasks: AsyncExitStack) -> None:
        hypervisor = self.machine.open_hypervisor(DOM0)
        self._store = XenStore()
        tasks.callback(GuestRings(self._store, self.machine, DOM0).close)
        client = XenstoreClient.in_process(self._store, DOM0)
        tasks.callback(client.close)
        self._disks = disks_of(client, hypervisor, self.plan)
        await tasks.enter_async_context(self._disks)

    async def connect_toolstack(self) -> XenstoreClient:
        return XenstoreClient.in_process(self._store, DOM0)

    def backend(self, path: str) -> BackendDevice:
        device = self._disks.devices[path]
        assert isinstance(device, BackendDevice)
        return device


async def _serve_xenstore(machine: Machine, path: Path, tasks: AsyncExitStack) -> None:
    store = XenStore()
    tasks.callback(GuestRings(store, machine, DOM0).close)
    await tasks.enter_async_context(SocketServer(store, str(path)))


class Threads(Side):
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
            await _serve_xenstore(self.machine, self.folder / "xenstored", tasks)
            client = await XenstoreClient.connect(self.folder / "xenstored")
            tasks.callback(client.close)
            hypervisor = self.machine.open_hypervisor(DOM0)
            await tasks.enter_async_context(disks_of(client, hypervisor, self.plan))
            self._ready.set()
            await self._stop.wait()


def xenstore_process(machine_socket: Path, socket: Path, ready: str) -> None:
    """A process that serves xenstore on a socket and on every guest's ring."""

    async def main() -> None:
        async with AsyncExitStack() as tasks:
            machine = tasks.enter_context(Machine.attach(machine_socket))
            await _serve_xenstore(machine, socket, tasks)
            os.close(os.open(ready, os.O_CREAT))
            await asyncio.Event().wait()

    asyncio.run(main())


def backend_process(machine_socket: Path, xenstore_socket: Path, plan: BackendPlan) -> None:
    """A process that serves all of dom0's VBDs."""

    async def main() -> None:
        machine = Machine.attach(machine_socket)
        client = await XenstoreClient.connect(xenstore_socket)
        async with disks_of(client, machine.open_hypervisor(DOM0), plan):
            await asyncio.Event().wait()

    asyncio.run(main())


class Processes(Side):
    """xenstore and the backend in processes; the test's process holds the machine and the guest."""

    def __enter__(self) -> Self:
        self._context = multiprocessing.get_context("spawn")
        self._children: list[BaseProcess] = []
        self._daemon: subprocess.Popen[bytes] | None = None
        self.machine.serve(self.folder / "machine")
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._daemon:
            self._daemon.kill()
            self._daemon.wait()
        for child in reversed(self._children):  # xenstore last: the others would miss it
            child.kill()
            child.join()

    async def start(self, tasks: AsyncExitStack) -> None:
        ready = self.folder / "ready"
        arguments = (self.folder / "machine", self.folder / "xenstored", str(ready))
        self._xenstored = self._spawn(xenstore_process, *arguments)
        async with asyncio.timeout(START_TIMEOUT):
            while not ready.exists():
                if not self._xenstored.is_alive():
                    raise UsageError(NOT_STARTED)
                await asyncio.sleep(0.01)
        self.start_backend()

    def start_backend(self) -> None:
        machine, xenstored = self.folder / "machine", self.folder / "xenstored"
        if self.plan.daemon:
            sockets = [f"--machine={machine}", f"--xenstore={xenstored}"]
            self._daemon = subprocess.Popen([*self.plan.daemon, *sockets])
        else:
            self._backend = self._spawn(backend_process, machine, xenstored, self.plan)

    @property
    def is_serving(self) -> bool:
        backend = self._daemon.poll() is None if self._daemon else self._backend.is_alive()
        return backend and self._xenstored.is_alive()

    @property
    def daemon(self) -> subprocess.Popen[bytes]:
        return self._daemon or super().daemon

    def kill_backend(self, number: int = signal.SIGKILL) -> None:
        if self._daemon:
            self._daemon.send_signal(number)
            self._daemon.wait(START_TIMEOUT)
        else:
            os.kill(self._backend.pid or 0, number)
            self._backend.join()

    def kill_xenstore(self) -> None:
        self._xenstored.kill()
        self._xenstored.join()

    def _spawn(self, target: Callable[..., None], *arguments: object) -> BaseProcess:
        child = self._context.Process(target=target, args=arguments, daemon=True)
        try:
            child.start()
        except RuntimeError as error:
            if "bootstrapping" in str(error):  # this is such a process, and imports the script
                sys.exit(1)  # its parent says why
            raise
        self._children.append(child)
        return child
