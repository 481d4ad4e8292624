"""pvbackd, ended and started again under a running guest."""

from __future__ import annotations

from block_devices import images
from daemons import daemon
from serve import Lab
from step import FIO, GUEST, step, write_and_verify

from pvdrivers.toolstack.devices import add_device, unplug_device
from pvdrivers.vbd.config import disk_config

KILLS = 3
# A store that takes its time, so that there is always something in flight.
SLOW = '[[disk]]\nfilters = [{kind = "delay", delay_us = 100_000}]\n[log]\nburst = 1000\n'


@step
async def daemon_ended(lab: Lab) -> None:
    """pvbackd serves a disk, is ended with SIGTERM and followed by another; the guest goes on."""
    with images("daemon") as (path,):
        config = disk_config("xvda", GUEST, params=path)
        async with daemon(lab) as served:
            await add_device(lab.client, config)
            await lab.shell.wait_for("test -b /dev/xvda", 120)
            await write_and_verify(lab, "xvda")
            await served.end()
            await served.start()
            await write_and_verify(lab, "xvda")
            assert await unplug_device(lab.client, config, 60)


@step
async def daemon_killed(lab: Lab) -> None:
    """pvbackd is killed over and over while the guest's fio writes and verifies; fio goes on."""
    with images("killed") as (path,):
        config = disk_config("xvda", GUEST, params=path)
        fio = f"{FIO} --filename=/dev/xvda --rw=randwrite --bs=4k --iodepth=32 --io_size=12M"
        async with daemon(lab, SLOW) as served:
            await add_device(lab.client, config)
            await lab.shell.wait_for("test -b /dev/xvda", 120)
            job = await lab.shell.start(fio)
            await served.kill_during(job, KILLS)
            for end in (config.backend_path, config.frontend_path):
                assert await lab.client.read_str(f"{end}/state") == "4"
            await write_and_verify(lab, "xvda")
            assert await unplug_device(lab.client, config, 60)
