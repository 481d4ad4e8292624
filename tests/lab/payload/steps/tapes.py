"""pvbackd serves a tape library: Linux' xen-scsifront, with st, ch and sg above it."""

from __future__ import annotations

import asyncio
import os
import shutil

from daemons import Daemon, daemon
from scsi_host import ScsiHost, scsi_host
from serve import Lab
from step import GUEST, step

FOLDER = "/run/tapes"
RULES = f"""
    [[scsi]]
    lun = "robot"
    unit = {{kind = "changer", folder = "{FOLDER}", drives = ["drive"], slots = 3}}
    [[scsi]]
    lun = "drive"
    unit = {{kind = "tape", cartridge = ""}}
"""
ROBOT, DRIVE = 0, 1  # targets
TREE = "/tmp/tree"  # of the guest: what goes to tape
TAR = f"/bin/tar --blocking-factor=64 --directory={TREE}"  # not busybox's; records of 32 KiB
RECORDS, FILEMARK = 129, 1  # of an archive: 128 are the data, and tar's headers are more


class Library:
    """What a guest does with it."""

    def __init__(self, host: ScsiHost, robot: str, drive: str) -> None:
        self.host = host
        self.robot = robot  # sg's node
        self.drive = drive  # st's node that does not rewind

    async def mtx(self, words: str) -> str:
        return await self.host.shell.run(f"mtx -f {self.robot} {words}", 300)

    async def mt(self, words: str) -> str:
        return await self.host.shell.run(f"mt-st -f {self.drive} {words}", 300)

    async def tar(self, words: str) -> str:
        return await self.host.shell.run(f"{TAR} --file={self.drive} {words}", 300)


@step
async def tape_library(lab: Lab) -> None:
    """Linux' st and ch on a changer and its drive: mtx, mt and tar, pvbackd killed while tar
    writes."""
    os.mkdir(FOLDER)
    for name in ("A00001", "A00002"):
        os.mknod(f"{FOLDER}/{name}.tap")
    async with (
        daemon(lab, RULES) as served,
        scsi_host(lab, lab.shell, GUEST, "robot", "drive") as host,
    ):
        print("   ", await host.node(ROBOT, "scsi_changer"))
        robot = await host.node(ROBOT, "scsi_generic")
        library = Library(host, robot, await host.node(DRIVE, "scsi_tape"))
        await backup(library, served)
    shutil.rmtree(FOLDER)


async def backup(library: Library, served: Daemon) -> None:
    """Two archives on one tape, the second one over a kill; then another tape, and the first one
    again."""
    shell = library.host.shell
    await shell.run(f"mkdir {TREE} && dd if=/dev/urandom of={TREE}/data bs=64k count=64")  # 4 MiB
    await library.mtx("load 1 0")
    assert "Storage Element 1 Loaded" in await library.mtx("status")
    await library.tar("--create data")
    job = await shell.start(f"{TAR} --file={library.drive} --create data")
    await asyncio.sleep(1)
    await served.kill()
    print(f"    in flight at the kill: {await served.taken_up(1)}", flush=True)
    await job.finished(600)
    await compare(library)

    await library.mt("rewind")
    await library.mtx("unload 1 0")
    await library.mtx("load 2 0")
    await library.mt("eod")
    assert await library.mt("tell") == "At block 0."
    await library.mt("rewind")
    await library.mtx("unload 2 0")
    await library.mtx("load 1 0")
    await compare(library)
    assert await library.host.is_connected()
    await shell.run(f"rm -r {TREE}")


async def compare(library: Library) -> None:
    """Both archives are what was written, and no record is there twice."""
    for number in (0, 1):
        await library.mt("rewind")
        await library.mt(f"fsf {number}")
        await library.tar("--compare")
    await library.mt("eod")
    print("   ", await library.mt("status"), flush=True)
    assert await library.mt("tell") == f"At block {2 * (RECORDS + FILEMARK)}."
