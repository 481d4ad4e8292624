"""A whole device of any class on one machine: xenstore, toolstack, backend and frontend.

    with Loopback(device, mode="deterministic", seed=7) as loopback:
        loopback.run(scenario)

`device` describes the class (`DeviceUnderTest`); `pvdrivers.testing.vbd.loopback` has the disk's.
`scenario(frontend)` is a coroutine function; it runs in the guest, on this thread's loop. The mode
says what runs where; the drivers are the same in all modes:

loop           everything on one asyncio loop
deterministic  everything on one seeded loop in virtual time: same seed, same run
threads        xenstore and backend on a loop in a second thread
processes      xenstore and backend in a process each, attached to the machine
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain, Machine
from pvdrivers.sim.loop import DeterministicLoop, NothingCanRun
from pvdrivers.testing.attached_device import AttachedDevice
from pvdrivers.testing.backend_host import BackendHost, LoopHost, ThreadHost
from pvdrivers.testing.backend_processes import ProcessHost
from pvdrivers.testing.device_under_test import DeviceUnderTest
from pvdrivers.testing.guest import Guest

CLOSE_PATIENCE = 5.0  # seconds that the devices have to be closed in order
T = TypeVar("T")
Scenario = Callable[[Any], Awaitable[T]]
HOSTS: dict[str, type[BackendHost]] = {
    "loop": LoopHost,
    "deterministic": LoopHost,
    "threads": ThreadHost,
    "processes": ProcessHost,
}
MODES = tuple(HOSTS)


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Loopback(AttachedDevice):
    """A device between a backend in dom0 and a frontend in a guest; `add_guest` adds more."""

    def __init__(
        self,
        device: DeviceUnderTest,
        *,
        mode: str = "loop",
        seed: int = 0,
        abi: Abi = Abi.X86_64,
        guest_memory: int | str = "64M",
        trace: bool = False,
    ) -> None:
        """`seed` is for mode deterministic; `abi` and `guest_memory` are the guests'."""
        if mode not in MODES:
            raise UsageError(f"mode {mode!r} is none of {', '.join(MODES)}")
        if (device.serve is None) != bool(device.daemon) or (device.daemon and mode != "processes"):
            raise UsageError("a device has a service, or in mode processes a daemon")
        self.mode = mode
        self.seed = seed
        self._device = device
        self._abi = abi
        self._guest_memory = guest_memory
        self._trace = trace
        self._stack = ExitStack()
        self._guests: list[Guest] = []
        self._host: BackendHost

    # ---- set-up ----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.machine = stack.enter_context(Machine(virtual_time=self.mode == "deterministic"))
            if self._trace:
                self.machine.start_trace()
            self.dom0: Domain = self.machine.create_domain(privileged=True)
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self._runner = stack.enter_context(asyncio.Runner(loop_factory=self._make_loop))
            host = HOSTS[self.mode](self.machine, self._folder, self._device)
            self._host = stack.enter_context(host)
            self._tasks = AsyncExitStack()
            stack.callback(lambda: self._runner.run(self._tasks.aclose()))
            self._runner.run(self._start())
            stack.callback(lambda: self._runner.run(self._close_devices()))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        # Tasks that fail because everything is taken down: without this the garbage collector
        # reports them later, which makes Python 3.11 fail if it is parsing then.
        left = asyncio.all_tasks(self._runner.get_loop())
        self._stack.close()
        for task in left:
            if task.done() and not task.cancelled():
                task.exception()

    def _make_loop(self) -> asyncio.AbstractEventLoop:
        if self.mode == "deterministic":
            return DeterministicLoop(self.seed, self.machine)
        return asyncio.new_event_loop()

    async def _start(self) -> None:
        """Starts xenstore and the backend, and the first guest."""
        await self._host.start(self._tasks)
        self.toolstack = await self._host.connect_toolstack()
        self._tasks.callback(self.toolstack.close)
        first = await self.add_guest()
        self.guest, self.config = first.domain, first.config

    async def add_guest(self) -> Guest:
        """Creates a domain, plugs a device of its own into it and starts its drivers."""
        domain = self.machine.create_domain(abi=self._abi, memory=self._guest_memory)
        guest = Guest(domain, self._device, self.toolstack)
        self._guests.append(guest)
        self._tasks.push_async_callback(guest.stop)
        await guest.boot()
        return guest

    async def _close_devices(self) -> None:
        """Closes the devices as guests do that shut down: the backend unmaps first, then the
        frontend ends its grants. A frontend that ended them at once would get EBUSY."""
        if self._host.is_serving:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_PATIENCE):
                    await asyncio.gather(*(guest.close() for guest in self._guests))

    async def start_guest(self) -> None:
        """Starts the first guest's drivers again after `stop_guest`."""
        await self._guests[0].start()

    async def stop_guest(self) -> None:
        """Ends the first guest's drivers without a word to the backend, as a crash does."""
        await self._guests[0].stop()

    # ---- use -------------------------------------------------------------------------------

    def run(self, scenario: Scenario[T]) -> T:
        """Runs `scenario(frontend)` once the frontend's driver is there; returns its result.

        NothingCanRun, in mode deterministic: the scenario waits for something that cannot happen,
        and was cancelled.
        """
        tasks: list[asyncio.Task[Any]] = []

        async def main() -> T:
            if task := asyncio.current_task():
                task.set_name("scenario")
                tasks.append(task)
            return await scenario(await self.frontend())

        try:
            return self._runner.run(main())
        except NothingCanRun:
            self._runner.run(_end(tasks))
            raise

    async def frontend(self) -> Any:
        """The driver of the first guest's frontend, as soon as it has been probed."""
        return await self._guests[0].frontend()

    async def next_frontend(self, before: Any) -> Any:
        """The driver of the device plugged in after that of the driver `before`."""
        return await self._guests[0].next_frontend(before)

    @property
    def backend(self) -> Any:
        """The driver of the first guest's backend; only where it lives in this loop."""
        return self._host.backend(self.config.backend_path)

    @property
    def machine_socket(self) -> Path:
        """Where other processes may attach to the machine; mode processes."""
        return self._folder / "machine"

    def kill_backend(self, number: int = signal.SIGKILL) -> None:
        """Sends the signal and waits for the backend's end; mode processes."""
        self._host.kill_backend(number)

    def kill_xenstore(self) -> None:
        """SIGKILL; mode processes. Nothing can be plugged or unplugged any more."""
        self._host.kill_xenstore()

    @property
    def daemon(self) -> subprocess.Popen[bytes]:
        """The daemon's process, if one serves the devices."""
        return self._host.daemon

    def restart_backend(self) -> None:
        """Starts another backend for the same devices; mode processes."""
        self._host.start_backend()

    def __repr__(self) -> str:
        return f"<Loopback {self.mode}, seed {self.seed}, {self.guest!r}>"
