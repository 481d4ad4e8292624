"""A simulated host: the machine, its xenstore, and dom0."""

from __future__ import annotations

import shutil
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

from pvdrivers.process_lock import process_lock
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain, DomainState, Machine, MachineError
from pvdrivers.sim.cpupool import SchedulerKind
from pvdrivers.testing.dropin import dropin_variables
from pvdrivers.toolstack.domain_builder import register
from pvdrivers.toolstack.domains import domain_names
from pvdrivers.toolstack.xenstore_rings import GuestRings
from pvdrivers.xenstore import XenStore
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.server import SocketServer

DOM0 = 0
DOM0_MEMORY = "64M"


@dataclass(frozen=True, slots=True)
class HostFolder:
    """Where a host's files are."""

    path: Path

    @property
    def machine(self) -> Path:
        return self.path / "machine.sock"

    @property
    def xenstore(self) -> Path:
        return self.path / "xenstore.sock"

    @property
    def control(self) -> Path:
        """Of its pvbackd."""
        return self.path / "control.sock"

    @property
    def lock(self) -> Path:
        return self.path / "host.lock"

    @property
    def log(self) -> Path:
        return self.path / "host.log"

    @property
    def guests(self) -> Path:
        """What the guests' processes print."""
        return self.path / "guests"

    @property
    def backends_log(self) -> Path:
        return self.path / "pvbackd.log"

    @property
    def backends_config(self) -> Path:
        return self.path / "pvbackd.toml"

    @property
    def backends_state(self) -> Path:
        """What was in flight when a pvbackd was killed."""
        return self.path / "state"

    def make(self) -> None:
        """Makes it if need be. UsageError: it has other files than a host's."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(self.path.iterdir()) and not self.lock.exists():
            raise UsageError(f"{self.path} has files that are no host's: name another folder")

    def remove(self) -> None:
        """Removes it, with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def configs(self) -> Path:
        """The configurations of the guests."""
        return self.path / "configs"

    def config_of(self, guest: UUID) -> Path:
        return self.configs / f"{guest}.cfg"

    @property
    def variables(self) -> dict[str, str]:
        """By which Xen's own programs, and pvdrivers', run in dom0 of the host."""
        return dropin_variables(self.machine.absolute(), self.xenstore.absolute(), DOM0)


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What a host has. `memory`: a size, or the name of a map."""

    memory: str
    cpus: int
    scheduler: SchedulerKind
    pvbackd: bool  # serves its devices


@dataclass(frozen=True, slots=True)
class Connection:
    """What a toolstack has of a host: its machine, and its xenstore as dom0."""

    folder: HostFolder
    machine: Machine
    xenstore: XenstoreClient

    async def domid(self, domain: str) -> int:
        """The domid of a domain that is named, or given by its domid. UsageError: there is none."""
        names = await domain_names(self.xenstore)
        found = [domid for domid, name in names.items() if name == domain]
        if not found and domain.isdecimal() and int(domain) in names:
            found = [int(domain)]
        if not found:
            raise UsageError(f"there is no domain {domain}; there are {', '.join(names.values())}")
        return found[0]

    async def guest(self, domain: str) -> Domain:
        """The same domain, which must not be dom0."""
        domid = await self.domid(domain)
        if domid == DOM0:
            raise UsageError(f"{domain} is dom0, for which this is nothing; name a guest")
        return self.machine.domain(domid)

    def has_ended(self, domid: int, generation: int) -> bool:
        """Whether that domain runs no more, or is gone."""
        try:
            info = self.machine.domain(domid).info
        except MachineError:
            return True
        over = info.has_ended or info.state is DomainState.DYING
        return over or info.generation != generation


class Host:
    """Entered, it serves the folder's sockets, until it is left.

    UsageError: another process serves this folder. OSError: there can be no such folder or sockets.
    """

    def __init__(self, folder: HostFolder, settings: HostSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.connection: Connection
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._running = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._running.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        folder = self.folder
        folder.make()
        await stack.enter_async_context(process_lock(folder.lock, str(folder.path)))
        stack.callback(folder.remove)
        folder.configs.mkdir(mode=0o700, exist_ok=True)
        machine = stack.enter_context(
            Machine(
                self.settings.memory, cpus=self.settings.cpus, scheduler=self.settings.scheduler
            )
        )
        dom0 = machine.create_domain(
            privileged=True, memory=DOM0_MEMORY, vcpus=self.settings.cpus or 1
        )
        # With the lock held, a socket that is there is one that a killed host has left.
        folder.machine.unlink(missing_ok=True)
        machine.serve(folder.machine)
        store = XenStore(clock=time.monotonic)
        stack.callback(GuestRings(store, machine, DOM0).close)
        await stack.enter_async_context(SocketServer(store, str(folder.xenstore)))
        toolstack = XenstoreClient.in_process(store, DOM0)
        stack.callback(toolstack.close)
        await register(toolstack, dom0, "Domain-0")
        await toolstack.write("/local/pool/0/name", "Pool-0")
        self.connection = Connection(folder, machine, toolstack)
