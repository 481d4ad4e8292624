"""xenstore and the backend of a loopback in processes of their own, which can be killed."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Self

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.testing.backend_host import DOM0, START_TIMEOUT, BackendHost, serve_xenstore
from pvdrivers.testing.device_under_test import ServiceFactory
from pvdrivers.xenstore.client import XenstoreClient

NOT_STARTED = (
    "mode processes: xenstore's process has ended at its start; in a script of your own, put what"
    ' makes a Loopback below `if __name__ == "__main__":`, since each process imports the script'
)


def xenstore_process(machine_socket: Path, socket: Path, ready: str) -> None:
    """A process that serves xenstore; it creates the file `ready` once it does."""

    async def main() -> None:
        async with AsyncExitStack() as tasks:
            machine = tasks.enter_context(Machine.attach(machine_socket))
            await serve_xenstore(machine, socket, tasks)
            os.close(os.open(ready, os.O_CREAT))
            await asyncio.Event().wait()

    asyncio.run(main())


def backend_process(folder: Path, serve: ServiceFactory) -> None:
    """A process that serves all of dom0's devices."""

    async def main() -> None:
        hypervisor = Machine.attach(folder / "machine").open_hypervisor(DOM0)
        client = await XenstoreClient.connect(folder / "xenstored")
        async with serve(client, hypervisor, folder / "state"):
            await asyncio.Event().wait()

    asyncio.run(main())


class ProcessHost(BackendHost):
    """The test's process holds the machine and the guests."""

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
        for child in reversed(self._children):  # xenstore last: the others need it
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
        if self.device.daemon:
            sockets = [
                f"--machine={self.folder / 'machine'}",
                f"--xenstore={self.folder / 'xenstored'}",
            ]
            self._daemon = subprocess.Popen([*self.device.daemon, *sockets])
        else:
            self._backend = self._spawn(backend_process, self.folder, self.device.serve)

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
