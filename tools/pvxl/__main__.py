"""Hosts on which drivers meet; so far a simulated one in the foreground."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

from cyclopts import App, Parameter

import pvdrivers
from pvdrivers.tools.command_line import add_documentation
from pvdrivers.tools.command_line import run as run_app
from pvdrivers.tools.pvxl.config import config
from pvdrivers.tools.pvxl.guest import GuestSpec
from pvdrivers.tools.pvxl.host import Host

app = App(name="pvxl", help=__doc__, version=pvdrivers.__version__)
host = App(name="host", help="Simulated hosts.")
app.command(host)
app.command(config)
add_documentation(app)


@host.command
def run(
    directory: Path,
    /,
    *command: str,
    guest: Annotated[list[str] | None, Parameter(negative_iterable=())] = None,
) -> int:
    """Serves a simulated machine and its xenstore until Ctrl-C, or while COMMAND runs.

    Parameters
    ----------
    directory
        Where the sockets are: machine.sock and xenstore.sock. Made if need be.
    command
        After `--`: runs with PVDRIVERS_MACHINE and XENSTORED_PATH set; its exit status is pvxl's.
    guest
        NAME=IMAGE: a guest with IMAGE, a file or block device, as its disk xvda. May be given
        several times.
    """
    simulated = Host(directory, [GuestSpec.parse(text) for text in guest or []])
    return asyncio.run(simulated.run(command))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    run_app(app, arguments)


if __name__ == "__main__":
    main()
