"""Linux's own block backend in dom0."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from step import GUEST, command

from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.vbd.config import disk_config

BUS = Path("/sys/bus/xen-backend")


@asynccontextmanager
async def blkback(*parameters: str) -> AsyncIterator[None]:
    """The driver is loaded for the time of a block; it takes only the disks it is bound to."""
    (BUS / "drivers_autoprobe").write_text("0")
    await command("modprobe", "xen-blkback", *parameters)
    yield
    await command("rmmod", "xen-blkback")
    (BUS / "drivers_autoprobe").write_text("1")


def blkback_config(name: str, device: str) -> DeviceConfig:
    """A disk of the guest from a block device."""
    number = os.stat(device).st_rdev
    config = disk_config(name, GUEST, params=device, kind="phy")
    config.backend_keys["physical-device"] = f"{os.major(number):x}:{os.minor(number):x}"
    return config


async def bind(config: DeviceConfig) -> None:
    """Gives a disk that was just added to the driver, once the kernel has seen it."""
    write = f"echo vbd-{config.frontend_domid}-{config.devid} >{BUS}/drivers/vbd/bind"
    await command("sh", "-c", f"until {write}; do sleep 0.1; done 2>/dev/null")
