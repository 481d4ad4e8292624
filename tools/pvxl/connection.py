"""A command's connection to a host that runs: its machine, and its xenstore as dom0."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from cyclopts import Parameter

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import DomainState, Machine, MachineError
from pvdrivers.tools.pvxl.host import DOM0, HostFolder
from pvdrivers.toolstack.domains import domain_names
from pvdrivers.xenstore.client import XenstoreClient

T = TypeVar("T")
ENDED = (DomainState.SHUTDOWN, DomainState.CRASHED, DomainState.DYING)
HostOption = Annotated[
    Path | None,
    Parameter(
        name="--host",
        env_var="PVXL_HOST",
        help="The host's folder; without it pvxl in $XDG_RUNTIME_DIR, or in /tmp for each user.",
    ),
]


def host_folder(path: Path | None) -> HostFolder:
    """The folder that is meant."""
    if path is None:
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        path = Path(runtime) / "pvxl" if runtime else Path(f"/tmp/pvxl-{os.getuid()}")
    return HostFolder(path)


@dataclass(frozen=True, slots=True)
class Connection:
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

    async def guest(self, domain: str) -> int:
        """The same, which must not be dom0."""
        domid = await self.domid(domain)
        if domid == DOM0:
            raise UsageError(f"{domain} is dom0, for which this is nothing; name a guest")
        return domid

    def has_ended(self, domid: int, generation: int) -> bool:
        """Whether that domain runs no more, or is gone."""
        try:
            info = self.machine.domain(domid).info
        except MachineError:
            return True
        return info.generation != generation or info.state in ENDED


@asynccontextmanager
async def connected(folder: HostFolder) -> AsyncIterator[Connection]:
    """UsageError: no host runs there."""
    try:
        machine = Machine.attach(folder.machine)
    except MachineError as error:
        raise UsageError(
            f"no host runs in {folder.path}: {error.strerror or error}; pvxl host start begins one"
        ) from None
    try:
        async with await XenstoreClient.connect(folder.xenstore) as xenstore:
            yield Connection(machine, xenstore)
    finally:
        machine.close()


def on_host(path: Path | None, work: Callable[[Connection], Awaitable[T]]) -> T:
    """What `work` returns. UsageError: no host runs there."""

    async def main() -> T:
        async with connected(host_folder(path)) as connection:
            return await work(connection)

    return asyncio.run(main())
