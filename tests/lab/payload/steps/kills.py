"""pvbackd is killed while dom0's kernel carries out its requests on slow disks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from block_devices import DISKS, UNLIMITED, drop_caches, in_flight, qemu
from daemons import Daemon, daemon
from serve import Lab
from step import FIO, GUEST, step, write_and_verify

from pvdrivers.toolstack.devices import add_device, unplug_device
from pvdrivers.vbd.config import disk_config

SLOW = 4  # operations a second: the next daemon is there before the last one's are done
FLOWING = 100
TENS = 16  # requests for each disk that the kernel must have at a kill
FILL_PATIENCE = 120.0  # seconds
# A flush waits for all that is in the page cache, so that buffered writes can be caught as well.
WRITES = f"{FIO} --rw=randwrite --bs=4k --iodepth=32 --io_size=4M --fsync=32"


@dataclass(frozen=True)
class Way:
    """How one life of the daemon carries requests out."""

    engine: str
    direct: bool

    def __str__(self) -> str:
        return f"{self.engine}, {'direct' if self.direct else 'buffered'}"

    def settings(self) -> str:
        """The guest's first disk has persistent grants, the second has none."""
        store = [
            'kind = "file", path = "{params}", threads = 32',
            f'engine = "{self.engine}", direct = {str(self.direct).lower()}',
        ]
        return f"""
            log.burst = 1000
            [[disk]]
            name = "xvdb"
            limits.persistent = false
            store = {{{", ".join(store)}}}
            [[disk]]
            store = {{{", ".join(store)}}}
        """


WAYS = [Way(engine, direct) for engine in ("io_uring", "threads") for direct in (True, False)]


def throttle(operations_per_second: int) -> None:
    for disk in DISKS:
        qemu().throttle(disk, operations_per_second)


async def kernel_is_busy(writing: bool) -> list[int]:
    """How many requests to read, or to write, it has for each disk, once these are tens."""
    async with asyncio.timeout(FILL_PATIENCE):
        while True:
            counts = [in_flight(disk)[writing] for disk in DISKS]
            if min(counts) >= TENS:
                return counts
            await asyncio.sleep(0.01)


async def kill_each_way(served: Daemon, writing: bool) -> None:
    """In each way once, under fio; the next life has the next way."""
    for way, following in zip(WAYS, WAYS[1:] + WAYS[:1], strict=True):
        throttle(FLOWING)
        await asyncio.sleep(1)
        throttle(SLOW)
        counts = await kernel_is_busy(writing)
        served.settings = following.settings()
        before = served.lives
        await served.kill()
        taken_up = (await served.taken_up(before * len(DISKS)))[-len(DISKS) :]
        kind = "writes" if writing else "reads"
        print(f"    {way}: the kernel had {counts} {kind}, taken up {taken_up}", flush=True)
        assert all(taken_up)


@step
async def kills(lab: Lab) -> None:
    """SIGKILL with tens of requests in dom0's kernel: by engine, cache, grants, reads, writes."""
    configs = [
        disk_config(name, GUEST, params=device, kind="phy")
        for name, device in zip(("xvda", "xvdb"), DISKS.values(), strict=True)
    ]
    names = [config.backend_keys["dev"] for config in configs]
    async with daemon(lab, WAYS[0].settings()) as served:
        for config in configs:
            await add_device(lab.client, config)
        for name in names:
            await lab.shell.wait_for(f"test -b /dev/{name}", 120)
        for writing in (True, False):
            await drop_caches()
            part = "--do_verify=0" if writing else "--verify_only"
            jobs = [await lab.shell.start(f"{WRITES} {part} --filename=/dev/{n}") for n in names]
            await kill_each_way(served, writing)
            throttle(UNLIMITED)
            for job in jobs:
                await job.finished(300)
        for config in configs:
            for end in (config.backend_path, config.frontend_path):
                assert await lab.client.read_str(f"{end}/state") == "4"
        for name in names:
            await write_and_verify(lab, name, 1)
        for config in configs:
            assert await unplug_device(lab.client, config, 60)
