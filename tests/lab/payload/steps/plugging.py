"""Disks that come, change and go."""

from __future__ import annotations

from serve import Lab
from step import MEBIBYTE, step, write_and_verify

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.vbd.device import VbdBackendOptions


@step
async def resize(lab: Lab) -> None:
    """The disk shrinks and grows while it is connected."""
    async with lab.disk("xvda", RamStore(32 * MEBIBYTE)) as disk:
        for mebibytes in (16, 24, 32):
            sectors = mebibytes * MEBIBYTE // 512
            disk.backend.resize(sectors)
            await lab.shell.wait_for(f"test $(cat /sys/block/xvda/size) -eq {sectors}")
        await write_and_verify(lab, "xvda")


@step
async def two_disks(lab: Lab) -> None:
    """Two disks at once, read-only and writable."""
    async with lab.disk("xvda", RamStore(16 * MEBIBYTE)) as first:
        async with lab.disk("xvdb", RamStore(16 * MEBIBYTE)):
            await write_and_verify(lab, "xvda")
            await write_and_verify(lab, "xvdb")
        await write_and_verify(lab, "xvda")
        assert first.backend.broken_rings == 0


@step
async def unplugged_while_used(lab: Lab) -> None:
    """A mounted disk goes at once: Linux does not wait for its users. The guest lives on."""
    with RamStore(32 * MEBIBYTE) as store:
        disk = await lab.plug("xvda", store, VbdBackendOptions())
        await lab.shell.run("mkfs.ext4 -q -F /dev/xvda && mount -t ext4 /dev/xvda /mnt", 300)
        await lab.shell.run("echo here >/mnt/file && sync")
        await lab.unplug(disk)
        await lab.shell.run("echo lost >/mnt/file; sync; umount /mnt")
    async with lab.disk("xvda", RamStore(16 * MEBIBYTE)):
        await write_and_verify(lab, "xvda")
