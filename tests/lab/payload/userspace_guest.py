"""The guest with Python and this package, for our frontends.

It has no Python of its own; its disk xvdb, which we serve, has. Its kernel leaves new devices alone
while this runs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serve import Lab
from step import command

from pvdrivers.backends.stores.store import FileStore

WORLD = "/world"  # the tree that becomes xvdb
IMAGE = "/world.image"
LINKER = "/lib64/ld-linux-x86-64.so.2"
LIBRARIES = ("evtchn", "gnttab", "foreignmemory")
GUEST_MODULES = {"xen-evtchn": "", "xen-gntdev": "", "xen-gntalloc": "limit=8192"}  # in pages
PROGRAMS = ("in_guest.py", "in_guest_vif.py", "in_guest_scsi.py", "frames.py", "addresses.py")
# Large, and imported by no frontend.
UNUSED = ("uvloop", "pyroute2", "pygments", "rich", "cyclopts", "pydoc_data", "lib2to3")
PYTHON = "chroot /mnt /opt/pvdrivers/bin/python3 -X faulthandler"


async def make_world(image: str) -> None:
    """A file system with Python, this package, Xen's libraries and the guest's modules."""
    python, stdlib, package = "/usr/bin/python3", "/usr/lib/python3.11", "/opt/pvdrivers"
    xen = [f"/usr/lib/x86_64-linux-gnu/libxen{name}.so.1" for name in LIBRARIES]
    found = await command("busybox", "find", stdlib, package, "-name", "*.so")
    loaded = " ".join([*xen, *found.splitlines()])
    words = (await command(LINKER, "--preload", loaded, "--list", python)).split()
    files = {python, *(word for word in words if word.startswith("/"))}
    # Leaves compiled modules.
    await command(f"{package}/bin/python", "-c", "import in_guest, in_guest_vif, in_guest_scsi")
    os.mkdir(WORLD)
    tar = " ".join(["tar -c", *(f"--exclude={name}" for name in UNUSED), stdlib, package])
    await command("sh", "-c", f"{tar} 2>/dev/null | tar -C {WORLD} -x")
    await command("cp", "-L", "--parents", *sorted(files.difference(found.split())), WORLD)
    for name in GUEST_MODULES:
        shutil.copy(await command("modinfo", "-n", name), f"{WORLD}/{name}.ko")
    for name in PROGRAMS:
        shutil.copy(f"/payload/{name}", WORLD)
    for folder in ("proc", "dev", "tmp"):
        os.mkdir(f"{WORLD}/{folder}")
    await command("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", WORLD, image, "160M")
    shutil.rmtree(WORLD)


@asynccontextmanager
async def userspace_guest(lab: Lab) -> AsyncIterator[None]:
    """The guest has Python at /mnt, and its kernel leaves new devices to it."""
    if not await asyncio.to_thread(os.path.exists, IMAGE):  # the next step uses it again
        await make_world(IMAGE)
    with FileStore(IMAGE, read_only=True) as store:
        async with lab.disk("xvdb", store):
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
