"""`pvbridge sg`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Annotated

from cyclopts import Parameter

from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.captive_command import run_captive
from pvdrivers.tools.pvbridge.guests import MachineGuests
from pvdrivers.tools.pvbridge.logs import log_to_stderr
from pvdrivers.tools.pvbridge.luns import LunOption, LunSpec
from pvdrivers.tools.pvbridge.sg.folder import socket_path
from pvdrivers.tools.pvbridge.sg.preload import preloaded
from pvdrivers.tools.pvbridge.sg.server import SgServer, probe
from pvdrivers.tools.stop_event import stop_event

DEFAULT_NAME = "guest"


def sg(
    *command: str,
    lun: LunOption = None,
    name: Annotated[list[str] | None, Parameter(negative_iterable=())] = None,
) -> int:
    """Serves a guest's logical units to programs that use SG_IO, until Ctrl-C, or while COMMAND
    runs.

    The guest is one of a simulated machine: what such a program sends goes through its scsifront
    and a PV ring to scsiback in dom0, which has the logical units. Programs that are started by
    `pvsg`, such as `pvsg sg_inq /dev/pvsg/guest/0:0:0:0`, find them below /dev/pvsg.

    Parameters
    ----------
    command
        After `--`: a program that finds them too, such as a shell; its exit status is pvbridge's.
    name
        /dev/pvsg/NAME is the guest's; "guest" unless told otherwise. Given several times there are
        so many guests, which have the same logical units.
    """
    log_to_stderr()
    specs = [LunSpec.parse(text) for text in lun or []]
    names = name or [DEFAULT_NAME]
    if twice := [one for one in names if names.count(one) > 1]:
        raise UsageError(f"--name {twice[0]}: two guests have this name")
    return asyncio.run(_serve(specs, names, command))


async def _serve(specs: Sequence[LunSpec], names: Sequence[str], command: Sequence[str]) -> int:
    stop = stop_event(command)
    paths = {name: socket_path(name) for name in names}
    async with AsyncExitStack() as stack:
        guests = await stack.enter_async_context(MachineGuests(specs))
        for name, path in paths.items():
            guest = await guests.join(name)
            await stack.enter_async_context(SgServer(guest, await probe(guest)).serve(path))
        if command:
            return await run_captive(command, preloaded(os.environ), stop)
        for name in names:
            for spec in specs:
                print(f"/dev/pvsg/{name}/0:0:0:{spec.number}", flush=True)
        await stop.wait()
    return 0
