"""All virtual SCSI hosts that a backend domain serves.

async with ScsiService(client, hypervisor, lambda host: ServeOptions(open_unit)):
    await asyncio.Event().wait()
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.scsi.device import ScsiBackend
from pvdrivers.backends.scsi.host import HostConfig, ServeOptions, read_host
from pvdrivers.backends.scsi.units import Units
from pvdrivers.backends.service import DeviceClass, Service
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.scsi.keys import KIND
from pvdrivers.xenstore.client import XenstoreClient


class ScsiService(Service[HostConfig, ServeOptions]):
    """Serves all virtual hosts below /local/domain/<domid of `hypervisor`>/backend/vscsi."""

    def __init__(
        self,
        client: XenstoreClient,
        hypervisor: Hypervisor,
        options_for: Callable[[HostConfig], ServeOptions | None],
        *,
        driver: PollDriver | None = None,
        state_directory: Path | None = None,
    ) -> None:
        """As Service."""
        super().__init__(
            DeviceClass(KIND, read_host, self._open_host),
            client,
            hypervisor,
            options_for,
            driver=driver,
            state_directory=state_directory,
        )
        self.units = Units()

    async def _open_host(
        self, context: DeviceContext, host: HostConfig, options: ServeOptions
    ) -> ScsiBackend:
        return ScsiBackend(context, host, options, self.units)
