"""`pvbridge iscsi`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.address import format_address, parse_address
from pvdrivers.tools.pvbridge.guests import MachineGuests
from pvdrivers.tools.pvbridge.iscsi.accounts import read_accounts
from pvdrivers.tools.pvbridge.iscsi.login import TargetInfo
from pvdrivers.tools.pvbridge.iscsi.server import serve
from pvdrivers.tools.pvbridge.logs import log_to_stderr
from pvdrivers.tools.pvbridge.luns import LunOption, LunSpec
from pvdrivers.tools.stop_event import stop_event

NAME = re.compile(r"(iqn\.\d{4}-\d{2}\.[a-z0-9.-]+(:[^\s/,]+)?|(eui|naa)\.[0-9A-Fa-f]+)")
DEFAULT_NAME = "iqn.2012-04.org.pvdrivers:target"


def iscsi(
    *,
    lun: LunOption = None,
    listen: str = "127.0.0.1:3260",
    name: str = DEFAULT_NAME,
    accounts: Path | None = None,
) -> None:
    """Serves an iSCSI target whose logical units are reached over PV-SCSI rings, until Ctrl-C.

    Each initiator is a guest of a simulated machine, with a scsifront of its own: what a program
    sends by iSCSI goes through a PV ring to scsiback in dom0, which has the logical units.

    Parameters
    ----------
    listen
        HOST:PORT; port 0 leaves it to the system.
    name
        The target's iSCSI name: iqn., eui. or naa.
    accounts
        A TOML file with those who may log in, by CHAP: a table for each initiator's name, with
        user and secret. Without it everybody who reaches the port may.
    """
    log_to_stderr()
    if not NAME.fullmatch(name):
        raise UsageError(f"--name {name}: write such as {DEFAULT_NAME}")
    host, port = parse_address("--listen", listen)
    target = TargetInfo(name, read_accounts(accounts) if accounts else {})
    specs = [LunSpec.parse(text) for text in lun or []]
    asyncio.run(_serve(specs, target, host, port))


async def _serve(specs: Sequence[LunSpec], target: TargetInfo, host: str, port: int) -> None:
    stop = stop_event()
    async with MachineGuests(specs) as guests:
        try:
            server = serve(guests, target, host, port)
            async with server as bound:
                address = format_address(host, bound)
                for spec in specs:
                    print(f"iscsi://{address}/{target.name}/{spec.number}", flush=True)
                await stop.wait()
        except OSError as error:
            raise UsageError(f"--listen {host}:{port}: {error.strerror or error}") from error
