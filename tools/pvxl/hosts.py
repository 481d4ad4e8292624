"""`pvxl host`: a simulated host is started, stopped, or there while a command runs."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from pvdrivers.sim.cpupool import SchedulerKind
from pvdrivers.tools.captive_command import run_captive
from pvdrivers.tools.pvxl import background
from pvdrivers.tools.pvxl.connection import HostOption, host_folder
from pvdrivers.tools.pvxl.host import HostSettings
from pvdrivers.tools.pvxl.service import running_host
from pvdrivers.tools.stop_event import stop_event

app = App(name="host", help="Simulated hosts.")

SCHEDULERS = {"credit": SchedulerKind.CREDIT, "credit2": SchedulerKind.CREDIT2}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options:
    """Of a host that is to be."""

    memory: Annotated[
        str,
        Parameter(help="Of the machine: a size such as 4G, or a memory map's name such as zx1."),
    ] = "4G"
    cpus: Annotated[int, Parameter(help="How many CPUs it has.")] = 2
    scheduler: Annotated[Literal["credit", "credit2"], Parameter(help="Pool-0's scheduler.")] = (
        "credit2"
    )
    pvbackd: Annotated[
        bool, Parameter(help="Without it no backend serves the guests' devices: start yours.")
    ] = True

    @property
    def settings(self) -> HostSettings:
        return HostSettings(self.memory, self.cpus, SCHEDULERS[self.scheduler], self.pvbackd)


DEFAULTS = Options()


@app.command
def start(*, host: HostOption = None, options: Options = DEFAULTS) -> int:
    """Starts a host in the background: machine, xenstore, dom0 and pvbackd."""
    folder = host_folder(host)
    background.start(folder, options.settings)
    print(f"A host runs in {folder.path}")
    return 0


@app.command
def stop(*, host: HostOption = None) -> int:
    """Ends a host with all its guests. Nothing is left of it."""
    background.stop(host_folder(host))
    return 0


@app.command
def run(*command: str, host: HostOption = None, options: Options = DEFAULTS) -> int:
    """Has a host while COMMAND runs, or until Ctrl-C.

    Parameters
    ----------
    command
        After `--`: runs with the environment that `pvxl env` prints; its exit status is pvxl's.
    """
    folder = host_folder(host)

    async def main() -> int:
        stop = stop_event(command)
        async with running_host(folder, options.settings):
            if command:
                return await run_captive(command, {**os.environ, **folder.variables}, stop)
            print(f"A host runs in {folder.path}", file=sys.stderr, flush=True)
            await stop.wait()
        return 0

    return asyncio.run(main())


def env(*, host: HostOption = None) -> int:
    """Prints what lets Xen's own tools find the host: eval "$(pvxl env)"."""
    variables = host_folder(host).variables
    if tools := sorted(Path("/usr/lib").glob("xen-[0-9]*/bin")):
        # Those in /usr/sbin are scripts that ask the kernel which of these suit its Xen.
        variables["PATH"] = f"{tools[-1]}:{os.environ.get('PATH', os.defpath)}"
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0
