"""Programs of the outside world on PV devices of simulated guests."""

from collections.abc import Sequence
from typing import NoReturn

from cyclopts import App

import pvdrivers
from pvdrivers.tools.command_line import add_documentation
from pvdrivers.tools.command_line import run as run_app
from pvdrivers.tools.pvbridge.iscsi.command import iscsi
from pvdrivers.tools.pvbridge.sg.command import sg

app = App(name="pvbridge", help=__doc__, version=pvdrivers.__version__)
app.command(iscsi)
app.command(sg)
add_documentation(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    run_app(app, arguments)


if __name__ == "__main__":
    main()
