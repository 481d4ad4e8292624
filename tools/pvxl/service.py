"""The process of a host in the background: all of it but the guests and pvbackd.

    python -m pvdrivers.tools.pvxl.service FOLDER SETTINGS

It says on standard output whether it serves: `ready`, or one sentence; then it closes it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

from pvdrivers.background import in_background
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.cpupool import SchedulerKind
from pvdrivers.tools.pvxl.backends import backends
from pvdrivers.tools.pvxl.host import DOM0, Host, HostFolder, HostSettings
from pvdrivers.tools.pvxl.life_cycle import LifeCycle
from pvdrivers.tools.pvxl.runner import GuestRunner
from pvdrivers.tools.stop_event import stop_event

READY = "ready"
LOG_LINE = "%(asctime)s %(name)s: %(message)s"


@asynccontextmanager
async def running_host(folder: HostFolder, settings: HostSettings) -> AsyncIterator[Host]:
    """The whole host: machine, xenstore, backends, and what runs its guests."""
    async with Host(folder, settings) as host:
        machine = host.connection.machine
        with machine.open_hypervisor(DOM0) as dom0:
            runner = GuestRunner(machine, folder.machine, folder.guests, dom0)
            served = backends(folder) if settings.pvbackd else nullcontext()
            async with served, runner, in_background(LifeCycle(host.connection).run()):
                yield host


async def serve(folder: HostFolder, settings: HostSettings) -> None:
    """Until SIGTERM."""
    stop = stop_event()
    async with running_host(folder, settings):
        logging.basicConfig(filename=folder.log, level=logging.INFO, format=LOG_LINE)
        _say(READY)
        await stop.wait()


def _say(line: str) -> None:
    print(line, flush=True)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


def main() -> None:
    """The process."""
    folder, settings = HostFolder(Path(sys.argv[1])), json.loads(sys.argv[2])
    settings["scheduler"] = SchedulerKind(settings["scheduler"])
    try:
        asyncio.run(serve(folder, HostSettings(**settings)))
    except (UsageError, OSError) as error:
        _say(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
