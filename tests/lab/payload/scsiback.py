"""Linux's own SCSI backend in dom0, and the units that its target has."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from step import command, wait_until

CONFIGFS = Path("/sys/kernel/config")
CORE = CONFIGFS / "target/core"
TARGET, INITIATOR = "naa.5000000000000001", "naa.5000000000000002"
PORT = CONFIGFS / "target/xen-pvscsi" / TARGET / "tpgt_1"
DEBUG = Path("/sys/bus/pseudo/drivers/scsi_debug")


async def load_scsiback() -> None:
    """From now on the driver takes every new host, to the end of the machine. It cannot be
    unloaded: what was aborted it counts as under way for ever, and it waits for its end when the
    host is unplugged, on the thread that tells all of dom0's drivers of xenstore."""
    await command("modprobe", "configfs")
    await command("mount", "-t", "configfs", "configfs", os.fspath(CONFIGFS))
    await command("modprobe", "xen-scsiback")
    PORT.mkdir(parents=True)
    (PORT / "nexus").write_text(INITIATOR)


@asynccontextmanager
async def unit(number: int, plugin: str, **attributes: str) -> AsyncIterator[str]:
    """A unit of one of the target's plugins for the time of a block: what `p-dev` calls it."""
    device = CORE / f"{plugin}_{number}" / "unit"
    lun = PORT / f"lun/lun_{number}"
    for folder in (device, lun):
        folder.mkdir(parents=True)
    for name, value in {**attributes, "enable": "1"}.items():
        (device / name).write_text(value)
    (lun / "unit").symlink_to(device)
    yield f"{TARGET}:{number}"
    (lun / "unit").unlink()
    for folder in (lun, device, device.parent):
        folder.rmdir()


@asynccontextmanager
async def debug_disk() -> AsyncIterator[dict[str, str]]:
    """A disk of scsi_debug's in dom0 for the time of a block: `unit`'s attributes for it."""
    await command("modprobe", "sd_mod")  # dom0 has no udev that would
    await command("modprobe", "scsi_debug", "dev_size_mb=8")
    await wait_until("ls /sys/bus/scsi/devices/*/block/* >/dev/null 2>&1", 60)
    yield await asyncio.to_thread(attributes_of_disk)
    await command("rmmod", "scsi_debug")


def attributes_of_disk() -> dict[str, str]:
    """Of the only SCSI disk that dom0 has."""
    (block,) = Path("/sys/bus/scsi/devices").glob("*/block/*")
    names = (f"scsi_{word}_id" for word in ("host", "channel", "target", "lun"))
    place = zip(names, block.parent.parent.name.split(":"), strict=True)
    control = ",".join("=".join(pair) for pair in place)
    return {"control": control, "udev_path": f"/dev/{block.name}"}


async def delay_debug_disk(ticks: int) -> None:
    """How long its commands take from now on. Waits for those under way."""
    while True:
        try:
            (DEBUG / "delay").write_text(str(ticks))
            return
        except OSError:  # it is busy
            await asyncio.sleep(0.5)
