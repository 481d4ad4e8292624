"""What the lab tries, one step after the other, from dom0: our block backend, Linux's blkfront."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable

import uvloop
from guest import CommandFailed
from serve import Lab, lab

from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.backends.vbd.store import FileStore, RamStore
from pvdrivers.vbd.config import disk_config
from pvdrivers.xenbus.toolstack import add_device, unplug_device
from pvdrivers.xenstore.client import XenstoreClient

MEBIBYTE = 1 << 20
GUEST = 1  # its domid
FRONTEND = "/modules/*-xen-blkfront.ko"

Step = Callable[[Lab], Awaitable[None]]
STEPS: list[Step] = []


def step(function: Step) -> Step:
    STEPS.append(function)
    return function


async def frontend_keys(lab: Lab, path: str, prefix: str = "") -> dict[str, str]:
    """All keys of the frontend's directory, in the order the store gives them."""
    keys = {}
    for name in await lab.client.directory(path):
        keys[prefix + name] = await lab.client.read_str(f"{path}/{name}")
        if not keys[prefix + name]:
            del keys[prefix + name]
            keys |= await frontend_keys(lab, f"{path}/{name}", f"{prefix}{name}/")
    return keys


async def reload_frontend(lab: Lab, parameters: str = "") -> None:
    """Loads the guest's driver anew; no disk may be plugged in."""
    await lab.shell.run(f"rmmod xen_blkfront; insmod {FRONTEND} {parameters}")


async def write_and_verify(lab: Lab, name: str, mebibytes: int = 4) -> None:
    """Random data through the page cache, read back past it."""
    shell = lab.shell
    await shell.run(f"dd if=/dev/urandom of=/tmp/data bs=1M count={mebibytes}")
    await shell.run(f"dd if=/tmp/data of=/dev/{name} bs=1M oflag=direct conv=fsync")
    await shell.run(
        f"dd if=/dev/{name} of=/tmp/back bs=64k count={mebibytes * 16} iflag=direct"
        " && cmp /tmp/data /tmp/back"
    )
    await shell.run("rm /tmp/data /tmp/back")


@step
async def kernel_device(lab: Lab) -> None:
    """The store through /dev/xen/xenbus: values, a transaction, a watch, a refusal."""
    async with XenstoreClient.over_device() as client:
        home = "/tool/pvdrivers-lab"
        await client.write(f"{home}/a", "1")
        assert await client.read_str(f"{home}/a") == "1"
        async with await client.watch(home) as watch:
            assert await anext(watch) == home
            async with client.transaction() as transaction:
                await transaction.write(f"{home}/b", "2")
            assert await anext(watch) == f"{home}/b"
        assert not await client.exists(f"{home}/c")
        assert await client.read_str("domid") == "0"
        await client.remove(home)


@step
async def file_system(lab: Lab) -> None:
    """mkfs, mount, write, read back after a new mount, fsck."""
    async with lab.disk("xvda", RamStore(96 * MEBIBYTE)) as disk:
        for key, value in (await frontend_keys(lab, disk.config.frontend_path)).items():
            print(f"    frontend {key} = {value}")
        shell = lab.shell
        print(
            "   ", await shell.run("cd /sys/block/xvda/queue; grep . * 2>/dev/null | tr '\\n' ' '")
        )
        await shell.run("mkfs.ext4 -q -F /dev/xvda && mount -t ext4 /dev/xvda /mnt", 300)
        await shell.run("dd if=/dev/urandom of=/mnt/data bs=64k count=320 && sync", 300)
        before = await shell.run("md5sum /mnt/data")
        await shell.run("umount /mnt && mount -t ext4 /dev/xvda /mnt")
        assert await shell.run("md5sum /mnt/data") == before
        await shell.run("fstrim /mnt; umount /mnt")
        print("   ", await shell.run("fsck.ext4 -f -n /dev/xvda", 300))
        statistics = disk.backend.statistics()
        assert statistics["rd_req"] > 0
        assert statistics["wr_req"] > 0
        assert disk.backend.broken_rings == 0


FIO = (
    "fio --name=verify --filename=/dev/xvda --direct=1 --ioengine=libaio --size=16M"
    " --verify=crc32c --verify_fatal=1 --do_verify=1 --output-format=terse --terse-version=3"
)


@step
async def fio_verify(lab: Lab) -> None:
    """Random and sequential writes, verified by fio, on a file."""
    path = "/run/disk.image"
    os.mknod(path)
    os.truncate(path, 64 * MEBIBYTE)
    async with lab.disk("xvda", FileStore(path)):
        await lab.shell.run(f"{FIO} --rw=randwrite --bs=4k --iodepth=32 --io_size=8M", 600)
        await lab.shell.run(f"{FIO} --rw=write --bs=512k --iodepth=8", 600)
    os.unlink(path)


@step
async def discard(lab: Lab) -> None:
    """What is discarded reads as zeros."""
    async with lab.disk("xvda", RamStore(16 * MEBIBYTE)) as disk:
        await write_and_verify(lab, "xvda")
        await lab.shell.run("blkdiscard -o 1048576 -l 1048576 /dev/xvda")
        await lab.shell.run(
            "dd if=/dev/xvda bs=1M skip=1 count=1 iflag=direct | cmp -n 1048576 - /dev/zero"
        )
        assert disk.backend.statistics()["ds_req"] > 0


# Frontend parameters, our options, and what must come of them: pages, queues, persistent.
DIALECTS: dict[str, tuple[str, VbdBackendOptions, tuple[int, int, bool]]] = {
    "plain": (
        "max_indirect_segments=0 max_ring_page_order=0 max_queues=1",
        VbdBackendOptions(False, 0, 0, max_queues=1, barrier=False),
        (1, 1, False),
    ),
    "persistent": ("", VbdBackendOptions(True, 0, 0, max_queues=1), (1, 1, True)),
    "indirect": ("max_indirect_segments=128", VbdBackendOptions(False, 256, 0), (1, 2, False)),
    "four pages": ("max_ring_page_order=2", VbdBackendOptions(max_queues=1), (4, 1, True)),
    "sixteen pages": ("max_ring_page_order=4", VbdBackendOptions(), (16, 2, True)),
    "two queues": ("max_queues=2", VbdBackendOptions(False), (1, 2, False)),
}


@step
async def dialects(lab: Lab) -> None:
    """Every feature alone, all of them, and none."""
    failed = []
    for name, (parameters, options, expected) in DIALECTS.items():
        print(f"    {name}: blkfront {parameters or 'as it is'}, backend {options}", flush=True)
        await reload_frontend(lab, parameters)
        async with lab.disk("xvdb", RamStore(16 * MEBIBYTE), options) as disk:
            head = disk.backend.head
            assert head is not None
            offered = options.persistent and head.persistent
            got = (1 << head.layout.ring_page_order, head.layout.queues, offered)
            print(f"    {await frontend_keys(lab, disk.config.frontend_path)}", flush=True)
            assert got == expected, f"{name}: {got}"
            try:
                await write_and_verify(lab, "xvdb")
                assert disk.backend.broken_rings == 0
            except (CommandFailed, AssertionError) as error:
                failed.append(name)
                print(f"    {name} FAILED: {error}", flush=True)
    await reload_frontend(lab)
    assert not failed, failed


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


@step
async def guest_crash(lab: Lab) -> None:
    """The guest dies in the middle of I/O; the backend lets go of everything. The last step."""
    with RamStore(32 * MEBIBYTE) as store:
        disk = await lab.plug("xvda", store, VbdBackendOptions())
        writing = "while :; do dd if=/dev/zero of=/dev/xvda bs=1M oflag=direct; done"
        await lab.shell.run(f"({writing}) >/dev/null 2>&1 & true")
        await asyncio.sleep(2)
        assert disk.backend.statistics()["wr_req"] > 0
        destroy = await asyncio.create_subprocess_exec(
            "/usr/lib/xen-4.17/bin/xl", "destroy", str(GUEST)
        )
        assert await destroy.wait() == 0
        assert disk.backend.task is not None
        await asyncio.wait_for(asyncio.shield(disk.backend.task), 60)
        print(f"    {disk.backend.describe()}")


async def look_at_guest() -> None:
    """Into the logs, after a failure: whether its processors run, and what it last said."""
    xl = "/usr/lib/xen-4.17/bin/xl"
    for command in ("vcpu-list", f"sysrq {GUEST} 9", "vcpu-list", "dmesg -c"):
        process = await asyncio.create_subprocess_exec(xl, *command.split())
        await process.wait()
        await asyncio.sleep(1)


async def main(names: list[str]) -> int:
    failed = []
    async with lab(GUEST) as opened:
        print(f"### {opened.hypervisor}", flush=True)
        for function in STEPS:
            name = function.__name__
            if names and name not in names:
                continue
            print(f"### {name}: {function.__doc__}", flush=True)
            begun = time.monotonic()
            try:
                await function(opened)
                outcome = "passed"
            except (AssertionError, CommandFailed, OSError) as error:
                traceback.print_exception(error)
                outcome = "FAILED"
                failed.append(name)
                await look_at_guest()
            print(f"### {name} {outcome} after {time.monotonic() - begun:.1f} s", flush=True)
            if failed:
                break
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(uvloop.run(main(sys.argv[1:])))
