"""pvbackd, ended and started again under a running guest."""

from __future__ import annotations

import asyncio
import os
import sys

from serve import Lab
from step import GUEST, MEBIBYTE, step, write_and_verify

from pvdrivers.vbd.config import disk_config
from pvdrivers.xenbus.toolstack import add_device, unplug_device


async def start_daemon() -> asyncio.subprocess.Process:
    program = ("-m", "pvdrivers.tools.pvbackd", "run", "--control", "/run/pvbackd.control")
    return await asyncio.create_subprocess_exec(sys.executable, *program)


@step
async def daemon(lab: Lab) -> None:
    """pvbackd serves a disk, is ended with SIGTERM and followed by another; the guest goes on."""
    path = "/run/daemon.image"
    os.mknod(path)
    os.truncate(path, 64 * MEBIBYTE)
    config = disk_config("xvda", GUEST, params=path)
    async with lab.leave_to_others():
        process = await start_daemon()
        await add_device(lab.client, config)
        await lab.shell.wait_for("test -b /dev/xvda", 120)
        await write_and_verify(lab, "xvda")
        process.terminate()
        assert await process.wait() == 0
        process = await start_daemon()
        await write_and_verify(lab, "xvda")
        assert await unplug_device(lab.client, config, 60)
        process.terminate()
        assert await process.wait() == 0
    os.unlink(path)
