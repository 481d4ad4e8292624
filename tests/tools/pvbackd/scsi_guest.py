"""What a guest of a daemon that serves SCSI hosts does with their LUNs, and sees of them."""

from __future__ import annotations

import asyncio
from typing import Any

from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.testing.scsi.loopback import ScsiLoopback
from pvdrivers.xenbus.states import XenbusState

from .conftest import PATIENCE, until

FIRST, SECOND = ScsiAddress(0, 0, 0, 0), ScsiAddress(0, 0, 0, 1)


async def good(frontend: Any, at: ScsiAddress, cdb: bytes, data: bytes = b"", room: int = 0) -> Any:
    async with asyncio.timeout(PATIENCE):
        await frontend.wait_for_lun(at)
        result = await frontend.execute(at, cdb, data, room=room)
    assert result.good, (result, result.parsed_sense)
    return result


async def code(frontend: Any, at: ScsiAddress, cdb: bytes, data: bytes = b"") -> str:
    async with asyncio.timeout(PATIENCE):
        await frontend.wait_for_lun(at)
        sense = (await frontend.execute(at, cdb, data)).parsed_sense
    return str(sense.code)


async def until_refused(loopback: ScsiLoopback, name: str) -> None:
    """Waits until the backend has closed the LUN that the toolstack calls `name`."""
    key = f"{loopback.config.backend_path}/vscsi-devs/{name}/state"

    async def is_closed() -> bool:
        return await loopback.toolstack.read_optional(key) == str(int(XenbusState.CLOSED))

    await until(is_closed)
