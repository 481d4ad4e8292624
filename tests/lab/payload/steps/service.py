"""pvbackd, ended and started again under a running guest."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from serve import Lab
from step import FIO, GUEST, MEBIBYTE, step, write_and_verify

from pvdrivers.vbd.config import disk_config
from pvdrivers.xenbus.toolstack import add_device, unplug_device

KILLS = 5
LOG = "/run/pvbackd.log"
# A store that takes its time, so that there is always something in flight.
SLOW = '[[disk]]\nfilters = [{kind = "delay", delay_us = 100_000}]\n[log]\nburst = 1000\n'


async def start_daemon(*options: str, stderr: int | None = None) -> asyncio.subprocess.Process:
    program = ("-m", "pvdrivers.tools.pvbackd", "run", "--control", "/run/pvbackd.control")
    return await asyncio.create_subprocess_exec(sys.executable, *program, *options, stderr=stderr)


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


async def taken_up(lives: int) -> list[int]:
    """How many requests each daemon found in flight, once `lives` of them have begun."""
    async with asyncio.timeout(120):
        while True:
            said = await asyncio.to_thread(Path(LOG).read_text)
            found = [int(n) for n in re.findall(r"taken up, (\d+) requests", said)]
            if len(found) >= lives:
                return found
            await asyncio.sleep(0.5)


@step
async def daemon_killed(lab: Lab) -> None:
    """pvbackd is killed over and over while the guest's fio writes and verifies; fio goes on."""
    path, settings = "/run/killed.image", "/run/killed.toml"
    os.mknod(path)
    os.truncate(path, 64 * MEBIBYTE)
    await asyncio.to_thread(Path(settings).write_text, SLOW)
    stderr = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    config = disk_config("xvda", GUEST, params=path)
    fio = f"{FIO} --filename=/dev/xvda --rw=randwrite --bs=4k --iodepth=32 --io_size=12M"
    async with lab.leave_to_others():
        process = await start_daemon("--config", settings, stderr=stderr)
        await add_device(lab.client, config)
        await lab.shell.wait_for("test -b /dev/xvda", 120)
        await lab.shell.run(f"({fio}; echo $? >/tmp/fio.status) >/tmp/fio.log 2>&1 & true")
        for life in range(KILLS):
            await asyncio.sleep(3)
            process.kill()
            await process.wait()
            process = await start_daemon("--config", settings, stderr=stderr)
            await taken_up(life + 1)
        running = "test ! -e /tmp/fio.status"
        print(f"    fio still at it: {await lab.shell.run(f'{running} && echo yes || echo no')}")
        await lab.shell.wait_for("test -e /tmp/fio.status", 900)
        print(f"    in flight at the kills: {await taken_up(KILLS)}", flush=True)
        assert any(await taken_up(KILLS))
        assert await lab.shell.number("/tmp/fio.status") == 0, await lab.shell.run(
            "cat /tmp/fio.log"
        )
        for end in (config.backend_path, config.frontend_path):
            assert await lab.client.read_str(f"{end}/state") == "4"
        await write_and_verify(lab, "xvda")
        assert await unplug_device(lab.client, config, 60)
        process.terminate()
        assert await process.wait() == 0
    os.close(stderr)
    for left in (path, settings, LOG):
        os.unlink(left)
