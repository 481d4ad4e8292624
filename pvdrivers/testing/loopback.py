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

A deterministic loopback with `cpus` shows what a host with that many CPUs does to the device: what
dom0 and the guests do costs CPU time, and happens while the scheduler lets them (`VcpuLoop`).
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

from pvdrivers.frontends.balloon import TARGET, Balloon
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain, Machine
from pvdrivers.sim.loop import DeterministicLoop, NothingCanRun
from pvdrivers.sim.scheduler import FOR_EVER
from pvdrivers.sim.vcpu_loop import VcpuLoop, run_as
from pvdrivers.testing.attached_device import AttachedDevice
from pvdrivers.testing.backend_host import BackendHost, LoopHost, ThreadHost
from pvdrivers.testing.backend_processes import ProcessHost
from pvdrivers.testing.device_under_test import DeviceUnderTest
from pvdrivers.testing.guest import Guest
from pvdrivers.testing.shared_cpus import ONE_VCPU, SharedCpus, VcpuShare

CLOSE_PATIENCE = 5.0  # seconds that the devices have to be closed in order
NEIGHBOUR_MEMORY = 1 << 16  # bytes: what computes touches none here
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

    # A class for another machine has its own, and its `make_machine`.
    dom0_abi = Abi.X86_64
    dom0_memory: int | str = "16M"

    def __init__(
        self,
        device: DeviceUnderTest,
        *,
        mode: str = "loop",
        seed: int = 0,
        abi: Abi = Abi.X86_64,
        guest_memory: int | str = "64M",
        trace: bool = False,
        cpus: SharedCpus | None = None,
    ) -> None:
        """`seed` and `cpus` are for mode deterministic; `abi` and `guest_memory` are the guests'.
        Without `cpus` domains run at any time."""
        if mode not in MODES:
            raise UsageError(f"mode {mode!r} is none of {', '.join(MODES)}")
        if cpus and mode != "deterministic":
            raise UsageError(f"only mode deterministic has CPUs, not mode {mode}")
        if (device.serve is None) != bool(device.daemon) or (device.daemon and mode != "processes"):
            raise UsageError("a device has a service, or in mode processes a daemon")
        self.mode = mode
        self.seed = seed
        self._device = device
        self._abi = abi
        self._guest_memory = guest_memory
        self._trace = trace
        self._cpus = cpus
        self._stack = ExitStack()
        self._guests: list[Guest] = []
        self._host: BackendHost

    # ---- set-up ----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            virtual_time, cpus = self.mode == "deterministic", self._cpus.cpus if self._cpus else 0
            self.machine = stack.enter_context(self.make_machine(virtual_time, cpus))
            if self._trace:
                self.machine.start_trace()
            share = self._cpus.dom0 if self._cpus else ONE_VCPU
            self.dom0 = self._create_domain(
                share, abi=self.dom0_abi, memory=self.dom0_memory, privileged=True
            )
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

    def make_machine(self, virtual_time: bool, cpus: int) -> Machine:
        """The machine that the domains are on."""
        return Machine(virtual_time=virtual_time, cpus=cpus)

    def _make_loop(self) -> asyncio.AbstractEventLoop:
        if self._cpus:
            return VcpuLoop(self.seed, self.machine, self._cpus.cost_model)
        if self.mode == "deterministic":
            return DeterministicLoop(self.seed, self.machine)
        return asyncio.new_event_loop()

    def _create_domain(self, share: VcpuShare, **config: Any) -> Domain:
        domain = self.machine.create_domain(vcpus=share.vcpus, **config)
        if self._cpus:
            share.apply(domain)
        return domain

    async def _start(self) -> None:
        """Starts xenstore and the backend, and the first guest."""
        await run_as(self.dom0, self._host.start(self._tasks))
        self.toolstack = await self._host.connect_toolstack()
        self._tasks.callback(self.toolstack.close)
        first = await self.add_guest()
        self.guest, self.config = first.domain, first.config

    async def add_guest(self, share: VcpuShare | None = None, abi: Abi | None = None) -> Guest:
        """Creates a domain, plugs a device of its own into it and starts its drivers. `share`: of
        the CPUs; None, also for `abi`: as the first guest."""
        share = share or (self._cpus.guest if self._cpus else ONE_VCPU)
        abi = self._abi if abi is None else abi
        domain = self._create_domain(share, abi=abi, memory=self._guest_memory)
        guest = Guest(domain, self._device, self.toolstack)
        self._guests.append(guest)
        self._tasks.push_async_callback(guest.stop)
        await run_as(self.dom0, guest.boot())
        return guest

    def add_neighbour(self, share: VcpuShare = ONE_VCPU) -> Domain:
        """Creates a domain that computes for ever on each of its vcpus, beside the others."""
        if not self._cpus:
            raise UsageError("without cpus no domain waits for another: there are no neighbours")
        domain = self._create_domain(share, memory=NEIGHBOUR_MEMORY)
        for vcpu in range(share.vcpus):
            self.machine.scheduler.demand(domain.domid, vcpu, FOR_EVER)
        return domain

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

    def start_balloon(self) -> Balloon:
        """The first guest's memory follows what `set_memory_target` says from here on."""
        return self._guests[0].start_balloon()

    async def set_memory_target(self, size: int) -> None:
        """Tells the first guest how many bytes to keep, as `xl mem-set` does."""
        home = await self.toolstack.get_domain_path(self.guest.domid)
        await self.toolstack.write(f"{home}/{TARGET}", str(size >> 10))

    # ---- use -------------------------------------------------------------------------------

    def run(self, scenario: Scenario[T]) -> T:
        """Runs `scenario(frontend)` once the frontend's driver is there; returns its result. With
        `cpus` it is a program of the first guest.

        NothingCanRun, in mode deterministic: the scenario waits for something that cannot happen,
        and was cancelled.
        """
        tasks: list[asyncio.Task[Any]] = []

        async def main() -> T:
            if task := asyncio.current_task():
                task.set_name("scenario")
                tasks.append(task)
            return await scenario(await self.frontend())

        context = self.loop.domain_context(self.guest) if self._cpus else None
        try:
            return self._runner.run(main(), context=context)
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
    def loop(self) -> VcpuLoop:
        """Knows what each domain's doings have cost; a loopback with `cpus`."""
        loop = self._runner.get_loop()
        if not isinstance(loop, VcpuLoop):
            raise UsageError("only a loopback with cpus knows what its domains cost")
        return loop

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
