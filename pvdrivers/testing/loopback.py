"""A whole virtual block device on one machine: xenstore, toolstack, backend and frontend.

    with Loopback(partial(RamStore, 1 << 20), mode="deterministic", seed=7) as loopback:
        loopback.run(scenario)

`scenario(frontend)` is a coroutine function; it runs in the guest, on this thread's loop. What
runs where is the mode's business; the drivers do not know:

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
from typing import Any, Protocol, Self, TypeVar

from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.vbd.device import VbdBackend, VbdBackendOptions
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain, Machine
from pvdrivers.sim.loop import DeterministicLoop, NothingCanRun
from pvdrivers.testing.plugged import AttachedDevice
from pvdrivers.testing.sides import (
    BackendFactory,
    BackendPlan,
    InLoop,
    Processes,
    Side,
    Threads,
)
from pvdrivers.toolstack.boot import GuestXenstore, build
from pvdrivers.vbd.config import disk_config
from pvdrivers.xenbus.bus import frontend_bus
from pvdrivers.xenbus.device import FrontendDevice
from pvdrivers.xenstore.client import XenstoreClient

CLOSE_PATIENCE = 5.0  # seconds that the devices have to be closed in order
T = TypeVar("T")
Scenario = Callable[[Any], Awaitable[T]]
MODES = ("loop", "deterministic", "threads", "processes")


class StoreFactory(Protocol):
    """Makes the disk's store, in the process of the backend; picklable for mode processes."""

    def __call__(self) -> BlockStore: ...


class FrontendFactory(Protocol):
    """Makes the driver under test: VbdFrontend, or one's own."""

    def __call__(
        self, client: XenstoreClient, path: str, hypervisor: Hypervisor
    ) -> FrontendDevice: ...


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Loopback(AttachedDevice):
    """One disk between a backend in dom0 and a frontend in a guest."""

    def __init__(
        self,
        store: StoreFactory | None,
        *,
        mode: str = "loop",
        seed: int = 0,
        abi: Abi = Abi.X86_64,
        frontend: FrontendFactory = VbdFrontend,
        backend: BackendFactory = VbdBackend,
        backend_options: VbdBackendOptions | None = None,
        daemon: Sequence[str] = (),
        guest_memory: int | str = "64M",
        trace: bool = False,
        **disk: Any,
    ) -> None:
        """`disk` goes to `disk_config`: writable, cdrom, trusted, discard, kind, params …

        `daemon` is a command that serves the disk in mode processes instead of `store`, such as
        pvbackd: it is given --machine=SOCKET and --xenstore=SOCKET.
        """
        if mode not in MODES:
            raise UsageError(f"mode {mode!r} is none of {', '.join(MODES)}")
        if (store is None) != bool(daemon) or (daemon and mode != "processes"):
            raise UsageError("a disk has a store, or in mode processes a daemon")
        self.mode = mode
        self.seed = seed
        options = backend_options or VbdBackendOptions()
        self._plan = BackendPlan(store, backend, options, tuple(daemon))
        self._abi = abi
        self._make_frontend = frontend
        self._guest_memory = guest_memory
        self._trace = trace
        self._disk = disk
        self._stack = ExitStack()
        self._side: Side

    # ---- set-up ----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.machine = stack.enter_context(Machine(virtual_time=self.mode == "deterministic"))
            if self._trace:
                self.machine.start_trace()
            self.dom0: Domain = self.machine.create_domain(privileged=True)
            self.guest: Domain = self.machine.create_domain(
                abi=self._abi, memory=self._guest_memory
            )
            self.config = disk_config("xvda", self.guest.domid, **self._disk)
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self._runner = stack.enter_context(asyncio.Runner(loop_factory=self._make_loop))
            self._side = stack.enter_context(self._make_side())
            self._tasks = AsyncExitStack()
            stack.callback(lambda: self._runner.run(self._tasks.aclose()))
            self._runner.run(self._start())
            stack.callback(lambda: self._runner.run(self._close_devices()))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        # What fails because all is taken down is nobody's trouble any more: the garbage collector
        # would report it at a bad time. Python 3.11 does not survive it while it parses.
        left = asyncio.all_tasks(self._runner.get_loop())
        self._stack.close()
        for task in left:
            if task.done() and not task.cancelled():
                task.exception()

    def _make_loop(self) -> asyncio.AbstractEventLoop:
        if self.mode == "deterministic":
            return DeterministicLoop(self.seed, self.machine)
        return asyncio.new_event_loop()

    def _make_side(self) -> Side:
        sides = {"threads": Threads, "processes": Processes}
        return sides.get(self.mode, InLoop)(self.machine, self._folder, self._plan)

    async def _start(self) -> None:
        """Starts the side, creates the device and lets the guest find it."""
        await self._side.start(self._tasks)
        self.toolstack = await self._side.connect_toolstack()
        self._tasks.callback(self.toolstack.close)
        info = build(self.guest)
        await self.toolstack.introduce(self.guest.domid, info.store_gfn, info.store_port)
        await self.plug()
        await self.start_guest()

    async def _close_devices(self) -> None:
        """As a guest does that shuts down: first the backend lets go, then the frontend. One that
        ended at once would find its grants still mapped, and be told so by EBUSY."""
        if self._side.is_serving:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_PATIENCE):
                    await self._bus.close()

    async def start_guest(self) -> None:
        """Starts the guest's drivers: at first, and again after `stop_guest`."""
        self._guest = AsyncExitStack()
        self._tasks.push_async_callback(self._guest.aclose)
        hypervisor = self.guest.hypervisor
        xenstore = GuestXenstore(hypervisor)
        self._guest.callback(xenstore.close)
        self._bus = frontend_bus(
            xenstore.client,
            self.guest.domid,
            "vbd",
            lambda client, path: self._make_frontend(client, path, hypervisor),
        )
        self._bus.start()
        self._guest.push_async_callback(self._bus.abort)

    async def stop_guest(self) -> None:
        """Ends the guest's drivers without a word to the backend, as a crash does."""
        await self._guest.aclose()

    # ---- use -------------------------------------------------------------------------------

    def run(self, scenario: Scenario[T]) -> T:
        """Runs `scenario(frontend)` once the frontend's driver is there; returns its result.

        NothingCanRun, in mode deterministic: it waits for what will never happen. It is cancelled
        then.
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
        """The frontend's driver, as soon as it has been probed."""
        return await self._bus.wait_for(self.config.frontend_path)

    @property
    def backend(self) -> Any:
        """The backend's driver; only where it lives in this loop."""
        return self._side.backend(self.config.backend_path)

    @property
    def machine_socket(self) -> Path:
        """Where other processes may attach to the machine; mode processes."""
        return self._folder / "machine"

    def kill_backend(self, number: int = signal.SIGKILL) -> None:
        """Sends the signal and waits for the backend's end; mode processes."""
        self._side.kill_backend(number)

    def kill_xenstore(self) -> None:
        """SIGKILL; mode processes. Nothing can be plugged or unplugged any more."""
        self._side.kill_xenstore()

    @property
    def daemon(self) -> subprocess.Popen[bytes]:
        """The daemon's process, if it is one that serves the disk."""
        return self._side.daemon

    def restart_backend(self) -> None:
        """Starts another backend on the same devices; mode processes."""
        self._side.start_backend()

    def __repr__(self) -> str:
        return f"<Loopback {self.mode}, seed {self.seed}, {self.guest!r}>"
