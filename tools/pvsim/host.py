"""dom0 of a scenario: xenstore, the backends, and the toolstack that gives guests their devices."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.service import DeviceClass, Service
from pvdrivers.backends.stores.filters import DelayFilter
from pvdrivers.backends.stores.store import BlockStore, NullStore
from pvdrivers.backends.uplinks.switch import Switch
from pvdrivers.backends.vbd.device import VbdBackend, VbdBackendOptions
from pvdrivers.backends.vbd.disk import DiskConfig, read_disk
from pvdrivers.backends.vnif.device import VnifBackendOptions
from pvdrivers.backends.vnif.vif import VifConfig, read_vif
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.sim import Domain
from pvdrivers.sim.vcpu_loop import run_as
from pvdrivers.testing.device_under_test import DeviceUnderTest
from pvdrivers.testing.guest import Guest
from pvdrivers.testing.vnif.loopback import OwningBackend
from pvdrivers.tools.pvsim import kinds
from pvdrivers.tools.pvsim.kinds import parse_optional_time
from pvdrivers.toolstack.xenstore_rings import GuestRings
from pvdrivers.vbd.config import disk_config
from pvdrivers.vnif.config import vif_config
from pvdrivers.xenbus.device import BackendDevice
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.store import XenStore

# Grant copies are counted, copies through persistent grants are not.
DISK_OPTIONS = VbdBackendOptions(persistent=False, max_queues=1)
DISK = DeviceUnderTest(partial(disk_config, "xvda"), VbdFrontend)
VIF = DeviceUnderTest(partial(vif_config, 0), VnifFrontend)


class Host:
    """What it does is dom0's, whoever calls it."""

    def __init__(self, dom0: Domain) -> None:
        self._dom0 = dom0
        self._stores: dict[str, BlockStore] = {}  # by the guest's domid
        self._switch = Switch()
        self._held = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await run_as(self._dom0, self._start())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await run_as(self._dom0, self._held.aclose())
        for store in self._stores.values():
            store.close()

    async def _start(self) -> None:
        self._held.callback(self._switch.close)
        store = XenStore()
        self._held.callback(GuestRings(store, self._dom0.machine, self._dom0.domid).close)
        self._client = XenstoreClient.in_process(store, self._dom0.domid)
        self._held.callback(self._client.close)
        vbd = DeviceClass("vbd", read_disk, self._make_disk)
        vif = DeviceClass("vif", read_vif, self._make_vif)
        await self._serve(vbd, DISK_OPTIONS)
        await self._serve(vif, VnifBackendOptions())

    async def _serve(self, device_class: DeviceClass[Any, Any], options: Any) -> None:
        hypervisor = self._dom0.hypervisor
        service = Service(device_class, self._client, hypervisor, lambda config: options)
        await self._held.enter_async_context(service)

    async def _make_disk(
        self, context: DeviceContext, disk: DiskConfig, options: VbdBackendOptions
    ) -> BackendDevice:
        return VbdBackend(context, self._stores[disk.domid], options=options)

    async def _make_vif(
        self, context: DeviceContext, vif: VifConfig, options: VnifBackendOptions
    ) -> BackendDevice:
        return OwningBackend(context, self._switch.port(), options)

    async def add_guest(self, domain: Domain, spec: kinds.Workload) -> Any:
        """Boots a guest with the device that it needs; its frontend, connected."""
        return await run_as(self._dom0, self._add_guest(domain, spec))

    async def _add_guest(self, domain: Domain, spec: kinds.Workload) -> Any:
        device = VIF
        if isinstance(spec, kinds.Disk):
            device = DISK
            store: BlockStore = NullStore(spec.bytes)
            if delay := parse_optional_time(spec.latency, "latency"):
                store = DelayFilter(store, delay=delay)
            self._stores[str(domain.domid)] = store
        guest = Guest(domain, device, self._client)
        self._held.push_async_callback(guest.stop)
        await guest.boot()
        frontend = await guest.frontend()
        await frontend.connected()
        return frontend
