"""The same fio jobs in the same guest on Linux's blkback, QEMU's qdisk, and pvbackd."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from statistics import median

from blkback import bind, blkback, blkback_config
from daemons import running_service
from serve import CONNECT_PATIENCE, Lab
from step import GUEST, MEBIBYTE, command, on_request

from pvdrivers.toolstack.devices import DeviceConfig, add_device, unplug_device
from pvdrivers.vbd.config import disk_config
from pvdrivers.xenbus.states import XenbusState

ROUNDS = 3
MEBIBYTES = 48
JOBS = {  # and the field of fio's terse output that counts: IOPS, KiB a second
    "4 KiB random read, depth 1": ("--rw=randread --bs=4k --iodepth=1", 7),
    "4 KiB random read, depth 32": ("--rw=randread --bs=4k --iodepth=32", 7),
    "128 KiB sequential read, depth 8": ("--rw=read --bs=128k --iodepth=8", 6),
}
FIO = (
    "fio --name=job --filename=/dev/xvda --direct=1 --ioengine=libaio --time_based --runtime=3"
    " --ramp_time=500ms --output-format=terse --terse-version=3"
)
QEMU = (
    *("/opt/qemu/xen-qemu-system-i386", "-M", "xenpv", "-xen-attach", "-xen-domid", str(GUEST)),
    *("-nodefaults", "-no-user-config", "-m", "16", "-nographic", "-vga", "none"),
    *("-serial", "none", "-monitor", "none"),
)


async def plug(lab: Lab, config: DeviceConfig) -> None:
    await add_device(lab.client, config)
    if "physical-device" in config.backend_keys:
        await bind(config)
    await lab.shell.wait_for("test -b /dev/xvda")


async def unplug(lab: Lab, config: DeviceConfig, *ends: XenbusState) -> None:
    ends = ends or (XenbusState.CLOSED, XenbusState.UNKNOWN)
    assert await unplug_device(lab.client, config, CONNECT_PATIENCE, ends)
    await lab.shell.wait_for("! test -e /sys/block/xvda")


@asynccontextmanager
async def linux(lab: Lab) -> AsyncIterator[None]:
    """blkback on a ram device."""
    await command("modprobe", "brd", "rd_nr=1", f"rd_size={MEBIBYTES * 1024}")
    async with blkback():
        config = blkback_config("xvda", "/dev/ram0")
        await plug(lab, config)
        yield
        await unplug(lab, config)
    await command("rmmod", "brd")


@asynccontextmanager
async def qemu(lab: Lab) -> AsyncIterator[None]:
    """QEMU on a raw file in memory."""
    state = f"/local/domain/0/device-model/{GUEST}/state"
    environment = os.environ | {"LD_LIBRARY_PATH": "/opt/qemu"}
    process = await asyncio.create_subprocess_exec(*QEMU, env=environment)
    while await lab.client.read_optional(state) != "running":
        assert process.returncode is None, "QEMU ended"
        await asyncio.sleep(0.2)
    config = disk_config("xvda", GUEST, params=f"aio:{image()}", kind="qdisk")
    await plug(lab, config)
    yield
    await unplug(lab, config, XenbusState.UNKNOWN)
    process.terminate()
    await process.wait()
    await lab.client.remove(state)


@asynccontextmanager
async def pvbackd(lab: Lab) -> AsyncIterator[None]:
    """pvbackd.service on a raw file in memory."""
    async with running_service():
        config = disk_config("xvda", GUEST, params=image())
        await plug(lab, config)
        yield
        await unplug(lab, config)


BACKENDS: dict[str, Callable[[Lab], AbstractAsyncContextManager[None]]] = {
    "blkback": linux,
    "qdisk": qemu,
    "pvbackd": pvbackd,
}


def image() -> str:
    """A new file of random bytes."""
    path = "/figures.image"
    with open(path, "wb") as file:
        file.write(os.urandom(MEBIBYTE) * MEBIBYTES)
    return path


async def measure(lab: Lab, arguments: str, field: int) -> float:
    lines = (await lab.shell.run(f"{FIO} {arguments}", 120)).splitlines()
    return float(next(line for line in lines if line.startswith("3;")).split(";")[field])


@on_request
async def figures(lab: Lab) -> None:
    """4 KiB random and 128 KiB sequential reads on three backends in turn; the ratios."""
    seen: dict[str, dict[str, list[float]]] = {job: {b: [] for b in BACKENDS} for job in JOBS}
    async with lab.leave_to_others():
        for _ in range(ROUNDS):
            for backend, serving in BACKENDS.items():
                async with serving(lab):
                    for job, (arguments, field) in JOBS.items():
                        seen[job][backend].append(await measure(lab, arguments, field))
    os.unlink("/figures.image")
    for job, results in seen.items():
        for peer in ("blkback", "qdisk"):
            ratios = sorted(o / p for o, p in zip(results["pvbackd"], results[peer], strict=True))
            print(
                f"    {job}: pvbackd / {peer} {median(ratios):.2f}"
                f" ({ratios[0]:.2f} to {ratios[-1]:.2f})",
                flush=True,
            )
    print(f"    {json.dumps(seen)}", flush=True)
