"""The store, a file system, verified I/O, discard."""

from __future__ import annotations

from block_devices import images
from serve import Lab
from step import FIO, MEBIBYTE, frontend_keys, step, write_and_verify

from pvdrivers.backends.stores.store import FileStore, RamStore
from pvdrivers.xenstore.client import XenstoreClient


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
        await shell.run("dd if=/dev/urandom of=/mnt/data bs=64k count=80 && sync", 300)
        before = await shell.run("md5sum /mnt/data")
        await shell.run("umount /mnt && mount -t ext4 /dev/xvda /mnt")
        assert await shell.run("md5sum /mnt/data") == before
        await shell.run("fstrim /mnt; umount /mnt")
        print("   ", await shell.run("fsck.ext4 -f -n /dev/xvda", 300))
        statistics = disk.backend.statistics()
        assert statistics["rd_req"] > 0
        assert statistics["wr_req"] > 0
        assert disk.backend.broken_rings == 0


@step
async def fio_verify(lab: Lab) -> None:
    """Random and sequential writes, verified by fio, on a file."""
    with images("disk") as (path,):
        fio = f"{FIO} --filename=/dev/xvda"
        async with lab.disk("xvda", FileStore(path)):
            await lab.shell.run(f"{fio} --rw=randwrite --bs=4k --iodepth=32 --io_size=4M", 600)
            await lab.shell.run(f"{fio} --rw=write --bs=512k --iodepth=8", 600)


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
