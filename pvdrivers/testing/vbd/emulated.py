"""Emulated peers: a block backend or frontend that speaks a real one's dialect.

    emulated = partial(DialectBackend, dialect=LINUX_BACKEND)
    async with VbdPair(dom0.hypervisor, guest.hypervisor, store, backend=emulated) as disk: ...

Our own data plane serves the rings. The dialect says what is written to xenstore, when and in which
order, and which of the other end's states count.
"""

from __future__ import annotations

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.vbd.device import VbdBackend, VbdBackendOptions
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.testing.vbd.dialects import FRONTEND_SIDE, BackendDialect, FrontendDialect
from pvdrivers.vbd.features import DeviceInfo, FrontendFeatures, RingLayout
from pvdrivers.vbd.keys import early_keys, frontend_keys, late_keys, queue_key_names
from pvdrivers.xenbus.keys import QueueKeys
from pvdrivers.xenbus.states import FRONTEND, Event, XenbusState
from pvdrivers.xenstore.client import XenstoreClient

PAGE_SECTORS = 8  # 512-byte sectors of 4 KiB


class DialectBackend(VbdBackend):
    """Serves a disk as another backend would."""

    def __init__(
        self,
        context: DeviceContext,
        store: BlockStore,
        *,
        dialect: BackendDialect,
    ) -> None:
        self.table = dialect.table
        self.dialect = dialect
        self.own_watches = (*dialect.watches_own_keys, *filter(None, [dialect.waits_for]))
        options = VbdBackendOptions(
            persistent=dialect.persistent,
            max_indirect_segments=dialect.max_indirect_segments,
            ring_page_keys="order",
            max_queues=dialect.max_queues,
            barrier=dialect.barrier,
        )
        super().__init__(context, store, options)

    async def _pick(self, names: tuple[str, ...], info: DeviceInfo) -> dict[str, str]:
        """Those of the keys that there is a value for, in the dialect's order."""
        values = await self.client.read_keys(self.path, ("frontend", "frontend-id", "online"))
        values |= {"hotplug-status": "connected"}
        values |= early_keys(self.features) | late_keys(self.features, info)
        return {name: values[name] for name in names if name in values}

    async def publish_limits(self) -> None:
        keys = await self._pick(self.dialect.limits, await self.device_info())
        for name in self.dialect.limits:
            if name in keys:
                await self.client.write(f"{self.path}/{name}", keys[name])
            elif name.startswith(FRONTEND_SIDE):
                path = f"{self.peer_path}/{name.removeprefix(FRONTEND_SIDE)}"
                await self.client.write(path, await self.client.read(path))

    async def publish_disk(self, info: DeviceInfo) -> None:
        await self.write_keys(await self._pick(self.dialect.disk, info))

    async def ready(self) -> bool:
        key = self.dialect.waits_for
        return not key or await self.client.read_optional(f"{self.path}/{key}") is not None

    async def _publish(self, state: XenbusState) -> None:
        if self.dialect.rewrites_state:
            self._published = XenbusState.UNKNOWN
        await super()._publish(state)

    async def removed(self) -> None:
        await super().removed()
        gone = self.state is XenbusState.CLOSED and self.dialect.removes_itself
        if gone and await self.client.exists(self.path):
            await self.client.remove(self.path)


class DialectFrontend(VbdFrontend):
    """Uses a disk as another frontend would, in a guest with `processors`."""

    def __init__(
        self,
        client: XenstoreClient,
        path: str,
        hypervisor: Hypervisor,
        *,
        dialect: FrontendDialect,
        processors: int = 1,
        max_ring_page_order: int | None = None,
    ) -> None:
        """`max_ring_page_order`: a module's parameter; None: the dialect's own."""
        self.table = dialect.table
        self.dialect = dialect
        order = dialect.max_ring_page_order if max_ring_page_order is None else max_ring_page_order
        features = FrontendFeatures(
            protocol=hypervisor.abi.protocol,
            max_queues=min(processors, dialect.max_queues),
            max_ring_page_order=order,
            max_indirect_segments=dialect.max_indirect_segments,
            persistent=dialect.persistent,
            discard=dialect.discard,
            discard_secure=dialect.discard,
            flush=dialect.flush,
        )
        super().__init__(client, path, hypervisor, features)

    def _routine_event(self, online: str | None) -> Event:
        # Of the tables here our own alone starts over step by step.
        return super()._routine_event(online) if self.table is FRONTEND else Event.PEER

    async def publish_rings(self, layout: RingLayout, queues: list[QueueKeys]) -> None:
        values = dict(self.dialect.constants)
        values |= frontend_keys(layout, self.features.persistent, queues)
        names: list[str] = []
        for key in self.dialect.keys:
            names += queue_key_names(layout) if key == "rings" else [key]
        await self.write_keys({name: values[name] for name in names if name in values})

    async def attach(self) -> None:
        await super().attach()
        assert self.info
        for index in range(self.dialect.reads):
            await self.read(index * PAGE_SECTORS % self.info.sectors, PAGE_SECTORS)
