"""pvbackd.service serves disks that xl makes: attached, detached, in a guest's configuration."""

from __future__ import annotations

import asyncio
import os

from block_devices import images
from daemons import service
from second_guest import second_guest
from serve import Lab
from step import FIO, GUEST, XL, command, step, write_and_verify

# The line that docs/pvbackd.md gives to users.
DISK = "format=raw, vdev={name}, access=rw, script=/bin/true, target={path}"
ROOTED = """\
name = "second"
type = "pv"
kernel = "/guest/vmlinux"
ramdisk = "/guest/small.cpio"
extra = "console=hvc0 panic=5 loglevel=4 mitigations=off root=/dev/xvda"
memory = 256
on_crash = "destroy"
disk = [ "{root}", "{data}" ]
"""


@step
async def xl_attach(lab: Lab) -> None:
    """xl block-attach and block-detach, twice the same name."""
    with images("attached", mebibytes=16) as (path,):
        async with service(lab):
            for _ in range(2):
                print(
                    "   ",
                    await command(
                        XL, "block-attach", str(GUEST), DISK.format(name="xvdc", path=path)
                    ),
                )
                await lab.shell.wait_for("test -b /dev/xvdc", 120)
                await write_and_verify(lab, "xvdc")
                print("   ", await command(XL, "block-list", str(GUEST)))
                print("   ", await command(XL, "block-detach", str(GUEST), "xvdc"), flush=True)
                await lab.shell.wait_for("! test -e /sys/block/xvdc")


@step
async def xl_block_script(lab: Lab) -> None:
    """A block device through Xen's own hotplug script, which must find the backend unconnected."""
    config, disk = (
        "/etc/pvdrivers/pvbackd.toml",
        "format=raw, vdev=xvdc, access=rw, target=/dev/ram0",
    )
    await command("modprobe", "brd", "rd_nr=1", "rd_size=16384")
    os.makedirs(os.path.dirname(config), exist_ok=True)
    await command("bash", "-c", f"echo 'limits.wait_for_hotplug = true' >{config}")
    async with service(lab):
        await command(XL, "block-attach", str(GUEST), disk)
        await lab.shell.wait_for("test -b /dev/xvdc", 120)
        await write_and_verify(lab, "xvdc")
        await command(XL, "block-detach", str(GUEST), "xvdc")
        await lab.shell.wait_for("! test -e /sys/block/xvdc")
    os.unlink(config)


async def make_root(path: str) -> None:
    """An ext4 image of the first guest's programs."""
    tree = "/run/root.tree"
    script = f"""
        mkdir {tree} && cd {tree} && busybox cpio -idm </guest/domu.cpio && rm -r modules &&
        mke2fs -q -t ext4 -d {tree} {path} 160M && rm -r {tree}
    """
    await command("bash", "-c", script)


@step
async def root_file_system(lab: Lab) -> None:
    """A guest of `xl create` on its root from us; both guests do verified I/O at once."""
    root = "/root.image"
    await make_root(root)
    with images("data", "other", mebibytes=32) as (data, other):
        config = ROOTED.format(
            root=DISK.format(name="xvda", path=root), data=DISK.format(name="xvdb", path=data)
        )
        async with service(lab):
            async with second_guest(lab, config) as rooted:
                print("   ", await rooted.run("grep -w / /proc/mounts && cat /proc/partitions"))
                assert "/dev/xvda / ext4" in await rooted.run("cat /proc/mounts")
                attach = (XL, "block-attach", str(GUEST), DISK.format(name="xvdb", path=other))
                await command(*attach)
                await lab.shell.wait_for("test -b /dev/xvdb", 120)
                fio = f"{FIO} --filename=/dev/xvdb --rw=randwrite --bs=4k --iodepth=16 --io_size=4M"
                await asyncio.gather(rooted.run(fio, 600), lab.shell.run(fio, 600))
                await rooted.run(
                    "dd if=/dev/urandom of=/data bs=64k count=64 && md5sum /data >/sum"
                )
                await rooted.run("sync; echo 3 >/proc/sys/vm/drop_caches; md5sum -c /sum", 300)
                await command(XL, "block-detach", str(GUEST), "xvdb")
            print("   ", await command("e2fsck", "-f", "-n", root), flush=True)
    os.unlink(root)
