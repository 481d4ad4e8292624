"""The other direction: our block frontend in a guest's userspace, Linux's xen-blkback in dom0."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from blkback import bind, blkback, blkback_config
from block_devices import looped
from serve import CONNECT_PATIENCE, Lab
from step import MEBIBYTE, command, step
from userspace_guest import PYTHON, userspace_guest

from pvdrivers.testing.vbd.dialects import LINUX_BACKEND
from pvdrivers.toolstack.devices import DeviceConfig, add_device, unplug_device

MEBIBYTES = 4
RUN = f"{PYTHON} /in_guest.py"

# What our frontend wants, and what must come of it with Linux.
WISHES = {
    "persistent=0 max_indirect_segments=0 max_ring_page_order=0": "1 queue of 1 ring page(s)",
    "max_indirect_segments=0": "1 queue of 16 ring page(s) persistent",
    "max_queues=2 max_ring_page_order=1": "2 queues of 2 ring page(s) indirect 256 persistent",
}


class KernelDisk:
    """A disk of the guest that xen-blkback serves from a loop device."""

    def __init__(self, lab: Lab, path: str, device: str, config: DeviceConfig) -> None:
        self.lab = lab
        self.path = path
        self.device = device
        self.config = config

    def run(self, task: str, wishes: str = "") -> str:
        return f"{RUN} {self.config.devid} {task} {wishes}"

    async def in_guest(self, task: str, wishes: str = "") -> list[dict[str, Any]]:
        """Runs a task of in_guest.py to its end."""
        output = await self.lab.shell.run(self.run(task, wishes), 300)
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        assert "closed" in output, output
        return lines

    async def keys(self) -> dict[str, str]:
        """All that stands in the backend's directory."""
        path = self.config.backend_path
        return {
            name: await self.lab.client.read_str(f"{path}/{name}")
            for name in await self.lab.client.directory(path)
        }

    async def unplug(self) -> None:
        """Takes the disk away, unless that has been done."""
        if await self.lab.client.exists(self.config.backend_path):
            assert await unplug_device(self.lab.client, self.config, CONNECT_PATIENCE)


@asynccontextmanager
async def kernel_disk(lab: Lab) -> AsyncIterator[KernelDisk]:
    """A new disk for the guest, served by blkback, for the time of a block."""
    path = "/kernel.image"
    os.mknod(path)
    os.truncate(path, MEBIBYTES * MEBIBYTE)
    async with looped(path) as device:
        config = blkback_config("xvdc", device)
        await add_device(lab.client, config)
        await bind(config)
        disk = KernelDisk(lab, path, device, config)
        yield disk
        await disk.unplug()
    os.unlink(path)


@step
async def kernel_backend(lab: Lab) -> None:
    """Our frontend in the guest's userspace, data and features, against Linux's xen-blkback."""
    async with userspace_guest(lab), blkback("max_queues=2"):
        async with kernel_disk(lab) as disk:
            for wishes, outcome in WISHES.items():
                said = (await disk.in_guest("verify", wishes))[0]
                missing = set(outcome.split()).difference(said["agreement"].split())
                assert not missing, said["agreement"]
                assert (await command("md5sum", disk.path)).split()[0] == said["md5"]
            keys = await disk.keys()
            print(f"    {keys}", flush=True)
            own = LINUX_BACKEND.limits + LINUX_BACKEND.disk
            assert tuple(keys)[-len(own) :] == own  # in the order in which they were written
        async with kernel_disk(lab) as disk:
            await resizing(disk)
        async with kernel_disk(lab) as disk:
            await unplugging(disk)


async def resizing(disk: KernelDisk) -> None:
    """The loop device grows and shrinks under the connected frontend."""
    shell = disk.lab.shell
    await shell.run(f"({disk.run('resize')} >/tmp/said 2>&1 &)")
    size = MEBIBYTES * MEBIBYTE
    for bytes_now in (size, size * 2, size):
        os.truncate(disk.path, bytes_now)
        await command("losetup", "--set-capacity", disk.device)
        await shell.wait_for(f"grep -q 'sectors.: {bytes_now // 512}}}' /tmp/said")
    await shell.wait_for("grep -q closed /tmp/said")
    print(f"    {await shell.run('cat /tmp/said; rm /tmp/said')}", flush=True)


async def unplugging(disk: KernelDisk) -> None:
    """The toolstack takes the disk away while the frontend reads."""
    shell = disk.lab.shell
    await shell.run(f"({disk.run('unplug')} >/tmp/said 2>&1 &)")
    await shell.wait_for("grep -q sectors /tmp/said")
    await asyncio.sleep(1)
    await disk.unplug()
    await shell.wait_for("grep -q closed /tmp/said")
    said = await shell.run("cat /tmp/said; rm /tmp/said")
    print(f"    {said}", flush=True)
    assert json.loads(said.splitlines()[1])["reads"] > 0
