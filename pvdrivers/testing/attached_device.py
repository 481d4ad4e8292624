"""A device as the toolstack sees it: plugged in and unplugged; other code drives its two ends."""

from pvdrivers.toolstack.devices import (
    DeviceConfig,
    add_device,
    create_domain_directory,
    destroy_device,
    unplug_device,
)
from pvdrivers.xenstore.client import XenstoreClient


class AttachedDevice:
    """A subclass sets `config`, and `toolstack`: the toolstack's connection to xenstore."""

    config: DeviceConfig
    toolstack: XenstoreClient

    async def plug(self) -> None:
        """Creates the device, as `xl block-attach` does; again after it was unplugged."""
        await create_domain_directory(self.toolstack, self.config.frontend_domid)
        await add_device(self.toolstack, self.config)

    async def unplug(self) -> bool:
        """Unplugs it, as `xl block-detach` does; False when the ends did not close in time."""
        return await unplug_device(self.toolstack, self.config)

    async def unplug_forced(self) -> None:
        """Removes it whatever its ends are doing, as `xl block-detach --force` does."""
        await destroy_device(self.toolstack, self.config)
