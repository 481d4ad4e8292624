"""The other direction: our block frontend in a guest's userspace, Linux's xen-blkback in dom0.

The guest has no Python; its disk xvdb, which we serve, has one with this package. The guest's
kernel leaves new disks alone while this runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from blkback import bind, blkback, blkback_config
from block_devices import looped
from serve import CONNECT_PATIENCE, Lab
from step import MEBIBYTE, command, step

from pvdrivers.backends.stores.store import FileStore
from pvdrivers.testing.vbd.dialects import LINUX_BACKEND
from pvdrivers.toolstack.devices import DeviceConfig, add_device, unplug_device

MEBIBYTES = 4
WORLD = "/world"  # the tree that becomes xvdb
LINKER = "/lib64/ld-linux-x86-64.so.2"
LIBRARIES = ("evtchn", "gnttab", "foreignmemory")
GUEST_MODULES = {"xen-evtchn": "", "xen-gntdev": "", "xen-gntalloc": "limit=8192"}  # in pages
RUN = "chroot /mnt /opt/pvdrivers/bin/python3 -X faulthandler /in_guest.py"

# What our frontend wants, and what must come of it with Linux.
WISHES = {
    "persistent=0 max_indirect_segments=0 max_ring_page_order=0": "1 queue of 1 ring page(s)",
    "max_indirect_segments=0": "1 queue of 16 ring page(s) persistent",
    "max_queues=2 max_ring_page_order=1": "2 queues of 2 ring page(s) indirect 256 persistent",
}


async def make_world(image: str) -> None:
    """A file system with Python, this package, Xen's libraries and the guest's modules."""
    python, stdlib, package = "/usr/bin/python3", "/usr/lib/python3.11", "/opt/pvdrivers"
    xen = [f"/usr/lib/x86_64-linux-gnu/libxen{name}.so.1" for name in LIBRARIES]
    found = await command("busybox", "find", stdlib, package, "-name", "*.so")
    loaded = " ".join([*xen, *found.splitlines()])
    words = (await command(LINKER, "--preload", loaded, "--list", python)).split()
    files = {python, *(word for word in words if word.startswith("/"))}
    await command(f"{package}/bin/python", "-c", "import in_guest")  # leaves compiled modules
    os.mkdir(WORLD)
    await command("sh", "-c", f"tar -c {stdlib} {package} 2>/dev/null | tar -C {WORLD} -x")
    await command("cp", "-L", "--parents", *sorted(files.difference(found.split())), WORLD)
    for name in GUEST_MODULES:
        shutil.copy(await command("modinfo", "-n", name), f"{WORLD}/{name}.ko")
    shutil.copy("/payload/in_guest.py", WORLD)
    for folder in ("proc", "dev", "tmp"):
        os.mkdir(f"{WORLD}/{folder}")
    await command("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", WORLD, image, "160M")
    shutil.rmtree(WORLD)


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
async def userspace_guest(lab: Lab) -> AsyncIterator[None]:
    """The guest has Python at /mnt, and leaves new disks to it; dom0 has blkback, unbound."""
    image = "/world.image"
    await make_world(image)
    with FileStore(image, read_only=True) as store:
        async with lab.disk("xvdb", store), blkback("max_queues=2"):
            shell = lab.shell
            await shell.run("mount -t ext4 -o ro,noatime /dev/xvdb /mnt", 60)
            await shell.run("mount -t proc proc /mnt/proc; mount -o bind /dev /mnt/dev")
            for name, parameters in GUEST_MODULES.items():
                await shell.run(f"insmod /mnt/{name}.ko {parameters}", 60)
            await shell.run("echo 0 >/sys/bus/xen/drivers_autoprobe")
            yield
            await shell.run("echo 1 >/sys/bus/xen/drivers_autoprobe")
            await shell.run("rmmod xen_gntalloc xen_gntdev xen_evtchn")
            await shell.run("umount /mnt/dev /mnt/proc /mnt")
    os.unlink(image)


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
    async with userspace_guest(lab):
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
