"""A disk as a toolstack has it: what every loopback stands on, whoever drives the two ends."""

from pvdrivers.toolstack.devices import (
    DeviceConfig,
    add_device,
    create_domain_directory,
    destroy_device,
    unplug_device,
)
from pvdrivers.xenstore.client import XenstoreClient


class AttachedDevice:
    """A loopback gives it its `config`, and the toolstack's connection to xenstore."""

    config: DeviceConfig
    toolstack: XenstoreClient

    async def plug(self) -> None:
        """What `xl block-attach` does: at first, and again after the disk was unplugged."""
        await create_domain_directory(self.toolstack, self.config.frontend_domid)
        await add_device(self.toolstack, self.config)

    async def unplug(self) -> bool:
        """What `xl block-detach` does; False when the two ends did not let go in time."""
        return await unplug_device(self.toolstack, self.config)

    async def unplug_forced(self) -> None:
        """What `xl block-detach --force` does, whatever the ends are doing."""
        await destroy_device(self.toolstack, self.config)
