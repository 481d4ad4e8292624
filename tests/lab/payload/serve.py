"""What the steps have in common: the store, the hypervisor, a bus of our block backends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from guest import GuestShell
from kernel_log import KernelLogs

from pvdrivers import native
from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.vbd.device import VbdBackend, VbdBackendOptions
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.toolstack.devices import DeviceConfig, add_device, unplug_device
from pvdrivers.vbd.config import disk_config
from pvdrivers.xenbus.bus import DeviceBus, backend_bus
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient

CONNECT_PATIENCE = 60.0  # seconds; time is loose under emulation


@dataclass
class Disk:
    """A disk of the guest that is plugged in."""

    config: DeviceConfig
    backend: VbdBackend


class Lab:
    """dom0 with one running guest."""

    def __init__(self, client: XenstoreClient, hypervisor: Hypervisor, domid: int) -> None:
        self.client = client
        self.hypervisor = hypervisor
        self.domid = domid
        self.shell: GuestShell
        self.kernel_logs: KernelLogs
        self._served: dict[str, tuple[BlockStore, VbdBackendOptions]] = {}
        self.bus: DeviceBus = backend_bus(client, hypervisor.domid, "vbd", self._probe)

    def _probe(self, client: XenstoreClient, path: str) -> VbdBackend | None:
        if path not in self._served:
            return None  # another backend's
        store, options = self._served[path]
        return VbdBackend(DeviceContext(client, path, self.hypervisor), store, options)

    async def plug(self, name: str, store: BlockStore, options: VbdBackendOptions) -> Disk:
        """Gives the guest a disk, and waits until both ends are connected."""
        config = disk_config(name, self.domid, self.hypervisor.domid)
        self._served[config.backend_path] = store, options
        await add_device(self.client, config)
        async with asyncio.timeout(CONNECT_PATIENCE):
            backend = await self.bus.wait_for(config.backend_path)
            assert isinstance(backend, VbdBackend)
            await backend.wait_for(XenbusState.CONNECTED)
        await self.shell.wait_for(f"test -b /dev/{name}")
        print(f"    {backend.describe()}", flush=True)
        return Disk(config, backend)

    @asynccontextmanager
    async def leave_to_others(self) -> AsyncIterator[None]:
        """For the time of a block another process serves the disks."""
        await self.bus.abort()
        yield
        self.bus = backend_bus(self.client, self.hypervisor.domid, "vbd", self._probe)
        self.bus.start()

    async def unplug(self, disk: Disk) -> None:
        """Takes the disk away in order; the guest must not be using it."""
        if not await unplug_device(self.client, disk.config, CONNECT_PATIENCE):
            raise TimeoutError(f"{disk.backend.describe()}: does not close")
        await self.shell.wait_for(f"! test -e /sys/block/{disk.config.backend_keys['dev']}")

    @asynccontextmanager
    async def disk(
        self, name: str, store: BlockStore, options: VbdBackendOptions | None = None
    ) -> AsyncIterator[Disk]:
        """A disk for the time of a block; its store is closed afterwards."""
        with store:
            disk = await self.plug(name, store, options or VbdBackendOptions())
            try:
                yield disk
                await self.unplug(disk)
            finally:
                await disk.backend.abort()  # the store must outlive it
                print(f"    {disk.backend.statistics()}", flush=True)


@asynccontextmanager
async def lab(domid: int) -> AsyncIterator[Lab]:
    """Everything opened, for the guest `domid`."""
    async with await native.connect_store() as client:
        with await native.open_hypervisor(client) as hypervisor:
            lab = Lab(client, hypervisor, domid)
            lab.shell = GuestShell(await client.read_str(f"/local/domain/{domid}/console/tty"))
            lab.kernel_logs = KernelLogs(client, domid, lab.shell)
            await lab.kernel_logs.skip()  # booting
            lab.bus.start()
            yield lab
            await lab.bus.abort()
