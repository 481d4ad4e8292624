"""All virtual disks a backend domain serves: watches its directory, a driver for each disk.

    async with VbdService(client, hypervisor):
        await asyncio.Event().wait()

What a disk is served from is its `DiskPlan`, made from what the toolstack wrote (`Disk`). One
disk's trouble, whatever it is, ends that disk's driver and nothing else; that includes a disk that
never answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Protocol, Self

from pvdrivers.backends.inflight import InflightFile
from pvdrivers.backends.state_directory import StateDirectory
from pvdrivers.backends.vbd.device import BlockStore, VbdBackend, VbdBackendOptions
from pvdrivers.backends.vbd.disk import Disk, DiskPlan, close_store, read_disk, unexpected
from pvdrivers.backends.vbd.served_disk import RefusedDisk, ServedDisk
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.drivers import PollDriver
from pvdrivers.xenbus.bus import backend_bus
from pvdrivers.xenbus.device import BackendDevice, XenbusDevice
from pvdrivers.xenstore.client import XenstoreClient

log = logging.getLogger("pvdrivers.backends.vbd")

STATE_PREFIX = "vbd"  # of a disk's file in a state directory; -DOMID-DEVID follows


class BackendFactory(Protocol):
    """Makes the driver of a disk's backend: ServedDisk, or one's own."""

    def __call__(
        self,
        client: XenstoreClient,
        path: str,
        hypervisor: Hypervisor,
        store: BlockStore,
        options: VbdBackendOptions,
    ) -> BackendDevice: ...


Planner = Callable[[Disk], DiskPlan | None]


def plan_disk(disk: Disk) -> DiskPlan:
    """Serves every disk from what its `params` name."""
    return DiskPlan()


class VbdService:
    """Serves all VBDs below /local/domain/<domid of `hypervisor`>/backend/vbd."""

    def __init__(
        self,
        client: XenstoreClient,
        hypervisor: Hypervisor,
        plan: Planner = plan_disk,
        backend: BackendFactory = ServedDisk,
        state_directory: Path | None = None,
        pumps: PollDriver | None = None,
    ) -> None:
        """`plan` says how each disk is served; None: it is another backend's, leave it alone.
        `pumps` drive the queues, threads that outlive the service for instance; None: the loop.

        `state_directory` is this service's alone, and its successors': what they need to know of
        requests in flight. It is made if need be when the service is entered (OSError: it cannot
        be; UsageError: it is not this user's alone, or another process has it). Without one a
        successor takes up only connections on which the frontend waits for nothing.
        """
        self.client = client
        self.hypervisor = hypervisor
        self.plan = plan
        self.backend = backend
        self.state_directory = state_directory
        self.pumps = pumps
        self._bus = backend_bus(client, hypervisor.domid, "vbd", self._probe)
        self._state: StateDirectory | None = None
        self._held = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as held:
            if self.state_directory:
                state = StateDirectory(self.state_directory)
                self._state = await held.enter_async_context(state.hold())
                await self._drop_stale(self._state)
            self._bus.start()
            self._held = held.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        async with self._held:
            await self.drain()

    async def _drop_stale(self, state: StateDirectory) -> None:
        """Removes what an earlier service knew of devices that are gone."""
        for name in state.names():
            prefix, _, device = name.partition("-")
            if prefix != STATE_PREFIX:
                continue
            path = f"{self._bus.root}/{device.replace('-', '/')}/state"
            with suppress(OSError):  # xenstore is gone
                if await self.client.read_optional(path) is None:
                    InflightFile(state, name).clear()

    @property
    def devices(self) -> dict[str, XenbusDevice]:
        """The drivers that are there, by path."""
        return {path: d for path, d in self._bus.devices.items() if not d.is_gone}

    async def ended(self) -> None:
        """Returns, or raises why, when the service cannot go on: xenstore is gone."""
        await self._bus.ended()

    async def drain(self) -> None:
        """Takes no more requests, finishes those taken, and lets go of everything.

        Both ends stay Connected in xenstore: the next service of these disks takes them up as they
        are, and their frontends notice nothing but a pause.
        """
        await self._bus.abort()

    async def reload(self, plan: Planner) -> None:
        """Serves disks by other plans from now on, without their frontends noticing.

        Logs what changes, a line for each disk. Returns when every disk knows its new plan; a
        store that has to be opened for it is not waited for. Disks that could not be served are
        tried again.
        """
        self.plan = plan
        served = [device for device in self.devices.values() if isinstance(device, ServedDisk)]
        changed = sum(await asyncio.gather(*map(self._replan, served)))
        again = [path for path, device in self.devices.items() if isinstance(device, RefusedDisk)]
        again += self._bus.probing
        for path in again:
            await self._bus.forget(path)
        await self._bus.look()
        log.info(
            "reload: %d disks change, %d stay as they are, %d are tried again",
            changed,
            len(served) - changed,
            len(again),
        )

    async def _replan(self, device: ServedDisk) -> bool:
        path = device.path
        try:
            wanted = self.plan(device.disk)
        except Exception as error:
            log.error("%s: stays as it is: %s", path, error, exc_info=unexpected(error))
            return False
        if wanted is None:
            log.info("%s: is ignored from now on, but served until it is unplugged", path)
            return False
        return await device.serve_by(wanted)

    async def _probe(self, client: XenstoreClient, path: str) -> BackendDevice | None:
        disk = await read_disk(client, path)
        async with AsyncExitStack() as unused:
            device = await self._make_driver(disk, unused)
            if await read_disk(client, path) == disk:
                unused.pop_all()
                return device
        return await self._probe(client, path)  # the toolstack has replaced the disk meanwhile

    async def _make_driver(self, disk: Disk, unused: AsyncExitStack) -> BackendDevice | None:
        """`unused` closes the store if the driver is not needed after all."""
        path = disk.path
        try:
            plan = self.plan(disk)
            if plan is None:
                return None
            store = await plan.open(disk)
        except Exception as error:
            log.error("%s: cannot be served: %s", path, error, exc_info=unexpected(error))
            return RefusedDisk(self.client, path, str(error))
        unused.push_async_callback(close_store, store)
        device = self.backend(self.client, path, self.hypervisor, store, plan.options)
        if self.pumps and isinstance(device, VbdBackend):
            device.pumps = self.pumps
        if isinstance(device, ServedDisk):
            device.disk, device.plan = disk, plan
            if self._state:
                name = f"{STATE_PREFIX}-{disk.domid}-{disk.devid}"
                device.inflight = InflightFile(self._state, name)
        log.info("%s: served from %r", path, store)
        return device
