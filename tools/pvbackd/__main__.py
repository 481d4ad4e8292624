"""Serves guests' disks, network devices and SCSI hosts, on a Xen or on a simulated machine."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

import pvdrivers
from pvdrivers.poll.group import Mode
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools import command_line
from pvdrivers.tools.command_line import add_documentation
from pvdrivers.tools.pvbackd.config import read_config
from pvdrivers.tools.pvbackd.control import ask
from pvdrivers.tools.pvbackd.daemon import Daemon, Target
from pvdrivers.tools.pvbackd.status import parse, show

CONFIG = Path("/etc/pvdrivers/pvbackd.toml")
CONTROL = Path("/run/pvbackd/control")

app = App(name="pvbackd", help=__doc__, version=pvdrivers.__version__)


@app.command(name="run")
@app.default
def run(
    *,
    config: Path | None = None,
    machine: Path | None = None,
    xenstore: Path | None = None,
    domid: int = 0,
    control: Path | None = None,
    state_directory: Path | None = None,
    mode: Mode | None = None,
    run: str = "",
    log_json: Annotated[bool | None, Parameter(negative=())] = None,
    loop: Literal["auto", "uvloop", "asyncio"] = "auto",
) -> int:
    """Serves until SIGTERM; SIGHUP reads the configuration again.

    Parameters
    ----------
    config
        The configuration; without it /etc/pvdrivers/pvbackd.toml if that is there.
    machine
        Socket of the simulated machine to serve, instead of the Xen underneath.
    xenstore
        Socket of its xenstore.
    domid
        Which domain of the simulated machine the backends live in.
    control
        Socket for `pvbackd status`; it goes before the configuration's.
    state_directory
        Where the next daemon finds what was in flight when this one was killed; it goes before the
        configuration's. Without one it is beside the control socket.
    mode
        How the poll threads wait for work: spinning, spinning as long as that has paid off lately,
        or asleep; it goes before the configuration's, which is hybrid unless given.
    run
        A shell command to run meanwhile; the daemon ends with it, and with its exit status.
    log_json
        Log lines of JSON.
    loop
        The event loop; auto is uvloop where it is installed.
    """
    path = config or (CONFIG if CONFIG.exists() else None)

    async def serve() -> int:
        target = Target(machine, xenstore, domid)
        paths = str(control or ""), str(state_directory or "")
        daemon = Daemon(target, path, run, *paths, log_json, mode)
        return await daemon.run()

    with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        return runner.run(serve())


@app.command
def status(
    *, control: Path = CONTROL, json: Annotated[bool, Parameter(negative=())] = False
) -> int:
    """Tells of each device of a running daemon: a table.

    Parameters
    ----------
    control
        The daemon's control socket.
    json
        JSON instead, with all counters: a list of an object for each device.
    """
    try:
        answer = asyncio.run(ask(str(control), "status"))
    except (OSError, TimeoutError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it does not answer"
        raise UsageError(f"no daemon answers at {control}: {reason}") from None
    devices = parse(answer)
    if json:
        print(answer, end="")
    else:
        show(devices)
    return 0


@app.command
def check(config: Path = CONFIG, /) -> int:
    """Reads a configuration as the daemon would, and tells whether it can be used.

    Parameters
    ----------
    config
        The file.
    """
    read = read_config(config)
    counts = [
        f"{count} {kind} rule{'' if count == 1 else 's'}" for kind, count in read.rules.items()
    ]
    kinds = [f"{count} {kind}" for kind, count in sorted(read.scsi_kinds.items())]
    units = f" ({', '.join(kinds)})" if kinds else ""
    print(f"{config}: can be used, {', '.join(counts)}{units}")
    return 0


@app.command
def unit() -> int:
    """Prints the unit file that lets systemd run this very program."""
    text = (resources.files(__package__) / "pvbackd.service").read_text()
    started = Path(sys.argv[0]).absolute()  # a file that cannot be executed after `python -m`
    module = f"{sys.executable} -m {__package__}"
    program = str(started) if os.access(started, os.X_OK) else module
    print(text.replace("/usr/bin/env pvbackd", program), end="")
    return 0


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if name == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        if name == "uvloop":
            raise UsageError("--loop uvloop needs the Python package uvloop") from None
        return None
    return uvloop.new_event_loop


add_documentation(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    command_line.run(app, arguments)


if __name__ == "__main__":
    main()
