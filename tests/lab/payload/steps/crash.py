"""What ends the guest: it runs last."""

from __future__ import annotations

import asyncio

from serve import Lab
from step import GUEST, MEBIBYTE, XL, step

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.vbd.device import VbdBackendOptions


@step
async def guest_crash(lab: Lab) -> None:
    """The guest dies in the middle of I/O; the backend releases everything."""
    with RamStore(32 * MEBIBYTE) as store:
        disk = await lab.plug("xvda", store, VbdBackendOptions())
        writing = "while :; do dd if=/dev/zero of=/dev/xvda bs=1M oflag=direct; done"
        await lab.shell.run(f"({writing}) >/dev/null 2>&1 & true")
        await asyncio.sleep(2)
        assert disk.backend.statistics()["wr_req"] > 0
        destroy = await asyncio.create_subprocess_exec(XL, "destroy", str(GUEST))
        assert await destroy.wait() == 0
        assert disk.backend.task is not None
        await asyncio.wait_for(asyncio.shield(disk.backend.task), 60)
        print(f"    {disk.backend.describe()}")
