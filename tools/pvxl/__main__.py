"""Simulated hosts, on which guests run as they do on Xen; in the words of xl."""

from collections.abc import Sequence
from typing import NoReturn

from cyclopts import App

import pvdrivers
from pvdrivers.tools.command_line import add_documentation
from pvdrivers.tools.command_line import run as run_app
from pvdrivers.tools.pvxl import domains, hosts
from pvdrivers.tools.pvxl.config import config
from pvdrivers.tools.pvxl.create import create

app = App(name="pvxl", help=__doc__, version=pvdrivers.__version__)
app.command(hosts.app)
app.command(hosts.env)
app.command(config)
app.command(create)
domains.add_commands(app)
add_documentation(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    run_app(app, arguments)


if __name__ == "__main__":
    main()
