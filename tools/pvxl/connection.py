"""A command's connection to a host that runs: its machine, and its xenstore as dom0."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypeVar

from cyclopts import Parameter

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine, MachineError
from pvdrivers.tools.pvxl.host import Connection, HostFolder
from pvdrivers.xenstore.client import XenstoreClient

T = TypeVar("T")
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
            yield Connection(folder, machine, xenstore)
    finally:
        machine.close()


def on_host(path: Path | None, work: Callable[[Connection], Awaitable[T]]) -> T:
    """What `work` returns. UsageError: no host runs there."""

    async def main() -> T:
        async with connected(host_folder(path)) as connection:
            return await work(connection)

    return asyncio.run(main())
