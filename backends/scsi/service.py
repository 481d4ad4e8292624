"""All virtual SCSI hosts that a backend domain serves.

async with ScsiService(client, hypervisor, lambda host: ServeOptions(open_unit)):
    await asyncio.Event().wait()
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.inflight import InflightFile
from pvdrivers.backends.scsi.device import ScsiBackend
from pvdrivers.backends.scsi.host import HostConfig, ServeOptions, read_host
from pvdrivers.backends.scsi.units import JOURNAL, Units, journal_name
from pvdrivers.backends.service import DeviceClass, Service
from pvdrivers.backends.state_directory import StateDirectory
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.scsi.keys import KIND, LUNS
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
        self.units = Units(lambda: self._state)

    async def _drop_stale(self, state: StateDirectory) -> None:
        """Also the journals of units that no host names any more."""
        await super()._drop_stale(state)
        named = {journal_name(p_dev) for p_dev in await self._p_devs()}
        for name in state.names():
            if name.startswith(JOURNAL) and name not in named:
                InflightFile(state, name).clear()

    async def _p_devs(self) -> list[str]:
        """Of all LUNs that the toolstack has given to this domain's hosts."""
        found: list[str] = []
        for domid in await self._names(self._bus.root):
            for devid in await self._names(f"{self._bus.root}/{domid}"):
                folder = f"{self._bus.root}/{domid}/{devid}/{LUNS}"
                keys = [f"{name}/p-dev" for name in await self._names(folder)]
                found += (await self.client.read_keys(folder, keys)).values()
        return found

    async def _names(self, path: str) -> list[str]:
        return await self.client.directory(path) if await self.client.exists(path) else []

    async def _open_host(
        self, context: DeviceContext, host: HostConfig, options: ServeOptions
    ) -> ScsiBackend:
        return ScsiBackend(context, host, options, self.units)
