"""pvbackd.service serves block devices: loop, device mapper, slow ones, broken ones."""

from __future__ import annotations

import time

from block_devices import DISKS, UNLIMITED, dmsetup, images, looped, mapped, qemu
from daemons import daemon, devices, service, shown
from serve import Lab
from step import FIO, GUEST, MEBIBYTE, XL, command, step, write_and_verify

from pvdrivers.toolstack.devices import DeviceConfig, add_device, unplug_device
from pvdrivers.vbd.config import disk_config

SECTORS = 32 * MEBIBYTE // 512
ATTACH = "format=raw, vdev=xvdc, access=rw, script=/bin/true, target={path}"
DIRECT = '[[disk]]\nstore = {kind = "file", path = "{params}", direct = true}\n'
JOB = f"{FIO} --rw=randwrite --bs=4k --iodepth=32"
# A flush waits for the disk, which what goes to the page cache does not.
FLUSHING = f"{JOB} --filename=/dev/xvda --io_size=2M --fsync=8"
STUCK = 35.0  # seconds; systemd's watchdog has 30


async def plug(lab: Lab, name: str, path: str) -> DeviceConfig:
    config = disk_config(name, GUEST, params=path, kind="phy")
    await add_device(lab.client, config)
    await lab.shell.wait_for(f"test -b /dev/{name}", 120)
    return config


@step
async def block_devices(lab: Lab) -> None:
    """xl attaches a loop device, and one of the device mapper's, as LVM has them."""
    with images("looped", mebibytes=16) as (image,):
        table = f"0 {SECTORS} linear {DISKS['disk0']} 0"
        async with service(lab), looped(image) as loop, mapped("lab-volume", table) as volume:
            for path in (loop, volume):
                await command(XL, "block-attach", str(GUEST), ATTACH.format(path=path))
                await lab.shell.wait_for("test -b /dev/xvdc", 120)
                await write_and_verify(lab, "xvdc")
                (disk,) = await devices()
                print(f"    {disk['store']}", flush=True)
                assert disk["engine"] == "io_uring"  # and not on the thread that serves all disks
                await command(XL, "block-detach", str(GUEST), "xvdc")
                await lab.shell.wait_for("! test -e /sys/block/xvdc")


@step
async def stuck_disk(lab: Lab) -> None:
    """A disk does 1 operation a second, then none at all; the other on its thread goes on."""
    table = f"0 {SECTORS} linear {DISKS['disk0']} 0"
    async with mapped("stuck", table) as stuck, service(lab):
        disks = [await plug(lab, "xvda", stuck), await plug(lab, "xvdb", DISKS["disk1"])]
        before = await shown("NRestarts", "MainPID")

        qemu().throttle("disk0", 1)
        job = await lab.shell.start(FLUSHING)
        await lab.shell.run(f"{JOB} --filename=/dev/xvdb --io_size=2M", 300)
        assert await job.running()
        qemu().throttle("disk0", UNLIMITED)
        await job.finished(300)

        await dmsetup("suspend", "stuck")
        job = await lab.shell.start(FLUSHING)
        rounds, until = 0, time.monotonic() + STUCK
        while time.monotonic() < until:
            await lab.shell.run(f"{JOB} --filename=/dev/xvdb --io_size=512k", 300)
            rounds += 1
        print(f"    {rounds} rounds of fio beside it", flush=True)
        assert await job.running()
        await dmsetup("resume", "stuck")
        await job.finished(300)

        assert await shown("NRestarts", "MainPID") == before
        for config in disks:
            assert await unplug_device(lab.client, config, 60)


@step
async def bad_sectors(lab: Lab) -> None:
    """Sectors that cannot be read or written: the guest gets EIO for these, and for no others."""
    page, count = 1024, 8
    bad = page * count
    device, rest = DISKS["disk0"], bad + count
    table = (
        f"0 {bad} linear {device} 0",
        f"{bad} {count} error",
        f"{rest} {SECTORS - rest} linear {device} {rest}",
    )
    read = "dd if=/dev/xvda of=/dev/null count=1 iflag=direct"
    write = "dd if=/dev/zero of=/dev/xvda count=1 oflag=direct"
    failing = {  # and what the log says of them
        f"{read} bs=4k skip={page}": f"read of 8 sectors at {bad}: EIO",
        f"{read} bs=64k skip={page // 16}": f"read of 128 sectors at {bad}: EIO",
        f"{write} bs=4k seek={page}": f"write of 8 sectors at {bad}: EIO",
    }
    async with mapped("bad", *table) as path, daemon(lab, DIRECT) as served:
        disks = [await plug(lab, "xvda", path), await plug(lab, "xvdb", DISKS["disk1"])]
        job = await lab.shell.start(f"{JOB} --filename=/dev/xvdb --io_size=2M")
        await write_and_verify(lab, "xvda")  # up to the bad ones
        for line, complaint in failing.items():
            said = await lab.shell.run(f"{line} && echo done || true")
            assert "I/O error" in said, said
            assert "done" not in said, said
            print("   ", *await served.says(f".*{complaint}.*/{disks[0].devid}'"), flush=True)
        for beside in (page - 1, page + 1):
            await lab.shell.run(f"{read} bs=4k skip={beside} && {write} bs=4k seek={beside}")
        assert f"/{disks[1].devid}'" not in "".join(await served.says(".*: EIO.*"))
        await job.finished(300)
        for config in disks:
            assert await unplug_device(lab.client, config, 60)
