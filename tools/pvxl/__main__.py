"""Hosts on which drivers meet; so far a simulated one in the foreground."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

from cyclopts import App, CycloptsError, Parameter

import pvdrivers
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvxl.guest import GuestSpec
from pvdrivers.tools.pvxl.host import Host

USAGE = 2  # exit status for a mistake of the user's

app = App(name="pvxl", help=__doc__, version=pvdrivers.__version__)
host = App(name="host", help="Simulated hosts.")
app.command(host)


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


def _give_up(reason: str) -> NoReturn:
    print(f"pvxl: {' '.join(reason.split())}", file=sys.stderr)
    sys.exit(USAGE)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. Exit status 2, and one sentence, for what the user can put right."""
    try:
        code: Any = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _give_up(f"{where}{error.strerror or error}")
    except (CycloptsError, UsageError) as error:
        _give_up(str(error))
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
