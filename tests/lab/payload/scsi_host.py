"""Virtual SCSI hosts of a guest. xl has none, so their keys are written here, as libxl writes those
of other devices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from guest import GuestShell
from serve import Lab

from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig, scsi_config
from pvdrivers.scsi.hotplug import add_lun, remove_lun
from pvdrivers.toolstack.devices import DeviceConfig, add_device, unplug_device

PATIENCE = 300.0  # seconds; pvbackd alone may take two minutes to start
PLACE = "0:0:{}:0"  # of a LUN by the number of its target


def lun_config(number: int, p_dev: str) -> LunConfig:
    """Of target `number`."""
    return LunConfig(p_dev, ScsiAddress.parse(PLACE.format(number)))


@dataclass(frozen=True)
class ScsiHost:
    """A host that a guest has. Its LUNs are each a target's only one, and dev-N is target N."""

    lab: Lab
    shell: GuestShell
    config: DeviceConfig

    async def node(self, number: int, kind: str = "block") -> str:
        """The path in the guest of what its kernel has made of a LUN: `block`, `scsi_generic`,
        `scsi_tape`, `scsi_changer`. Waits for it."""
        folder = f"/sys/bus/scsi/devices/*:0:{number}:0/{kind}"
        await self.shell.wait_for(f"ls {folder}/*/dev >/dev/null 2>&1", PATIENCE)
        name = (await self.shell.run(f"ls {folder}")).split()[0]
        return f"/dev/{name}"

    async def add(self, number: int, p_dev: str) -> None:
        added = await add_lun(
            self.lab.client,
            self.config.backend_path,
            f"dev-{number}",
            lun_config(number, p_dev),
            PATIENCE,
        )
        assert added, p_dev

    async def remove(self, number: int) -> None:
        """Until the guest has no such device."""
        path = self.config.backend_path
        await remove_lun(self.lab.client, path, f"dev-{number}", PATIENCE)
        await self.shell.wait_for(f"! ls -d /sys/bus/scsi/devices/*:0:{number}:0 2>/dev/null")

    async def is_connected(self) -> bool:
        ends = (self.config.backend_path, self.config.frontend_path)
        states = [await self.lab.client.read_str(f"{end}/state") for end in ends]
        return states == ["4", "4"]


@asynccontextmanager
async def scsi_host(
    lab: Lab, shell: GuestShell, domid: int, *p_devs: str
) -> AsyncIterator[ScsiHost]:
    """A host with these LUNs for the time of a block. It may have gone by itself by then, with its
    guest."""
    luns = [lun_config(number, p_dev) for number, p_dev in enumerate(p_devs)]
    config = scsi_config(0, domid, luns=luns)
    await add_device(lab.client, config)
    yield ScsiHost(lab, shell, config)
    if await lab.client.exists(config.backend_path):
        assert await unplug_device(lab.client, config, PATIENCE)
