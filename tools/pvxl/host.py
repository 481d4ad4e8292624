"""A simulated host in one process: the machine, its xenstore, and guests that wait for backends."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from pvdrivers.process_lock import process_lock
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.tools.captive_command import run_captive
from pvdrivers.tools.pvxl.guest import MEMORY, Guest, GuestSpec
from pvdrivers.tools.stop_event import stop_event
from pvdrivers.toolstack.domain_builder import register
from pvdrivers.toolstack.xenstore_rings import GuestRings
from pvdrivers.xenstore import XenStore
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.server import SocketServer

DOM0 = 0


def say(line: str) -> None:
    """On stderr, since stdout is the captive command's."""
    print(line, file=sys.stderr, flush=True)


class Host:
    """Serves `folder`/machine.sock and `folder`/xenstore.sock while it runs."""

    def __init__(self, folder: Path, guests: Sequence[GuestSpec]) -> None:
        """UsageError: two guests have one name."""
        names = [guest.name for guest in guests]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"--guest {twice[0]}: two guests have this name")
        self.folder = folder
        self.machine_socket = folder / "machine.sock"
        self.xenstore_socket = folder / "xenstore.sock"
        self._specs = guests

    async def run(self, command: Sequence[str]) -> int:
        """Until SIGTERM or SIGINT, or until `command` ends, whose exit status it gives.

        UsageError: another process serves this folder, or there is no such command. OSError: there
        can be no such folder or sockets.
        """
        stop = stop_event(command)
        async with AsyncExitStack() as stack:
            await self._start(stack)
            if command:
                return await run_captive(command, self._environment, stop)
            say("The disks are served by, in another terminal:")
            say(f"  {self.daemon_command}")
            await stop.wait()
        return 0

    @property
    def daemon_command(self) -> str:
        """What to type for a backend."""
        options = {
            "machine": self.machine_socket,
            "xenstore": self.xenstore_socket,
            "control": self.folder / "control.sock",
        }
        words = [word for name, path in options.items() for word in (f"--{name}", str(path))]
        return shlex.join(["pvbackd", "run", *words])

    async def _start(self, stack: AsyncExitStack) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = process_lock(self.folder / "host.lock", str(self.folder))
        await stack.enter_async_context(lock)
        memory = (1 + len(self._specs)) * 2 * MEMORY
        machine = stack.enter_context(Machine(memory))
        dom0 = machine.create_domain(privileged=True)
        # With the lock held, a socket that is there is one that a killed host has left.
        self.machine_socket.unlink(missing_ok=True)
        machine.serve(self.machine_socket)
        store = XenStore(clock=time.monotonic)
        stack.callback(GuestRings(store, machine, DOM0).close)
        await stack.enter_async_context(SocketServer(store, str(self.xenstore_socket)))
        toolstack = XenstoreClient.in_process(store, DOM0)
        stack.callback(toolstack.close)
        await register(toolstack, dom0, "Domain-0")
        await toolstack.write("/local/pool/0/name", "Pool-0")
        say(f"machine   {self.machine_socket}\nxenstore  {self.xenstore_socket}")
        for spec in self._specs:
            guest = Guest(machine, toolstack, spec)
            await guest.start(stack)
            say(str(guest))
            telling = asyncio.get_running_loop().create_task(guest.tell(say))
            stack.push_async_callback(asyncio.wait, [telling])
            stack.callback(telling.cancel)

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PVDRIVERS_MACHINE": str(self.machine_socket.absolute()),
            "XENSTORED_PATH": str(self.xenstore_socket.absolute()),
        }
