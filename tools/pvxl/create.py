"""`pvxl create`: a guest from a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pvdrivers.tools.pvxl.config import read
from pvdrivers.tools.pvxl.connection import HostOption, on_host
from pvdrivers.tools.pvxl.creation import create_guest
from pvdrivers.tools.pvxl.host import Connection

Paused = Annotated[bool, Parameter(name=("--paused", "-p"), negative=())]


def create(file: Path, /, *settings: str, paused: Paused = False, host: HostOption = None) -> int:
    """Creates a guest from a configuration file, and lets it run.

    Parameters
    ----------
    file
        As `xl create` takes it: xl.cfg(5). `kernel` names the program that runs in the guest.
    settings
        Lines that are added to the file, such as memory=128.
    paused
        It does not run before `pvxl unpause`.
    """
    spec, text = read(file, settings)

    async def work(connection: Connection) -> None:
        domain = await create_guest(connection, spec, text)
        if not paused:
            domain.unpause()

    on_host(host, work)
    return 0
