"""All virtual disks a backend domain serves: watches its directory, a driver for each disk.

    async with VbdService(client, hypervisor):
        await asyncio.Event().wait()

What a disk is served from is its `DiskPlan`, made from what the toolstack wrote (`Disk`). One
disk's trouble, whatever it is, ends that disk's driver and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from pvdrivers.backends.vbd.device import BlockStore, VbdBackend, VbdBackendOptions
from pvdrivers.backends.vbd.inflight import InflightFile
from pvdrivers.backends.vbd.pumps import Pumps
from pvdrivers.backends.vbd.store import FileStore, NullStore, RamStore, Store
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring._core import ffi, lib
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.vbd.keys import EARLY_KEYS, LATE_KEYS, FrontendHead, read_backend
from pvdrivers.xenbus.bus import backend_bus
from pvdrivers.xenbus.device import BackendDevice, XenbusDevice
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.errors import XenstoreError

log = logging.getLogger("pvdrivers.backends.vbd")

STATE_PREFIX = "vbd"  # of a disk's file in a state directory; -DOMID-DEVID follows
DISK_KEYS = ("params", "type", "mode", "dev")
MEMORY_STORES: dict[str, Callable[[int], Store]] = {
    "ram": RamStore,
    "null": NullStore,
}  # params: bytes
PREFIXES = ("aio:", "raw:", "file:", "phy:")  # how toolstacks say that there is no image format


@dataclass(frozen=True, slots=True)
class Disk:
    """What the toolstack has written about a disk; `path` is the backend's directory."""

    path: str
    params: str = ""
    kind: str = ""  # the key `type`
    name: str = ""  # the key `dev`: xvda
    writable: bool = True

    @property
    def domid(self) -> str:
        return self.path.split("/")[-2]

    @property
    def devid(self) -> str:
        return self.path.split("/")[-1]

    @property
    def file(self) -> str:
        """The path in `params`. UsageError: there is none, or an image format before it."""
        text = self.params
        for prefix in PREFIXES:
            text = text.removeprefix(prefix)
        if not text.startswith("/"):
            raise UsageError(f"params {self.params!r} of type {self.kind!r} is not a file's path")
        return text


async def read_disk(client: XenstoreClient, path: str) -> Disk:
    keys = await client.read_keys(path, DISK_KEYS)
    return Disk(
        path,
        keys.get("params", ""),
        keys.get("type", ""),
        keys.get("dev", ""),
        keys.get("mode", "w").startswith("w"),
    )


async def open_disk(disk: Disk) -> Store:
    """A file or block device at `params`; types ram and null have their size there instead."""
    if memory := MEMORY_STORES.get(disk.kind):
        if not disk.params.isdecimal():
            raise UsageError(f"params {disk.params!r} of type {disk.kind} is not a size in bytes")
        return memory(int(disk.params))
    return await asyncio.to_thread(FileStore, disk.file, read_only=not disk.writable)


@dataclass(frozen=True, slots=True)
class DiskPlan:
    """How a disk is served. `open_store` must not block the loop; its OSError and UsageError end up
    in the disk's error node. Equal plans are the same service."""

    open_store: Callable[[Disk], Awaitable[BlockStore]] = open_disk
    options: VbdBackendOptions = field(default_factory=VbdBackendOptions)


class ServedDisk(VbdBackend):
    """A backend that owns its store, tells the toolstack of it, and can go on with another."""

    # What is needed to serve the disk another way from now on.
    disk: Disk
    plan: DiskPlan
    next_plan: DiskPlan | None = None
    _inherited = False

    async def inherit(self) -> bool:
        """A predecessor's connection can be taken up when its log says what is to be done again, or
        else when the frontend waits for no answer, so that nothing can have been lost with it."""
        keys = await self.client.read_keys(self.path, (*EARLY_KEYS, *LATE_KEYS))
        self._writable = self.disk.writable and not self.store.pointer.geometry.read_only
        try:
            self.features, _ = read_backend(keys)
            head = await self._read_rings()
        except (PeerError, OSError) as error:
            log.warning("%s: connects anew: %s", self.path, error)
            return False
        self._inherited = self._is_resumable(head)
        if not self._inherited and self.inflight:
            self.inflight.clear()
            self._inherited = self._is_resumable(head)
        if not self._inherited:
            log.warning("%s: connects anew: what is in flight is not known", self.path)
        return self._inherited

    def _is_resumable(self, head: FrontendHead) -> bool:
        return all(
            lib.pv_blkback_resumable(ffi.new("struct pv_blkback_config *", config)) == 0
            for config in self._configs(head)
        )

    async def connect(self) -> None:
        if self.inflight and not self._inherited:
            self.inflight.clear()
        try:
            await super().connect()
        finally:
            self._inherited = False

    def serve(self) -> None:
        if self._inherited:
            resumed = self.statistics()["resumed"]
            log.info("%s: taken up, %d requests in flight", self.path, resumed)
            self.wake_frontend()  # while the event channels are not the pumps' yet
        super().serve()

    async def offer(self) -> None:
        self._inherited = False
        await self._replan()
        await self.write_keys(self._hotplug_keys())
        await super().offer()

    async def update_size(self) -> None:
        await self._replan()
        await super().update_size()

    async def removed(self) -> None:
        await super().removed()  # no queue may be left on the store
        close_store(self.store)
        if self.inflight and (self.state is XenbusState.CLOSED or await self._is_gone()):
            self.inflight.clear()

    async def _is_gone(self) -> bool:
        try:
            return await self.client.read_optional(f"{self.path}/state") is None
        except OSError:
            return False

    async def _replan(self) -> None:
        plan, self.next_plan = self.next_plan, None
        if plan is None:
            return
        try:
            store = await plan.open_store(self.disk)
        except (OSError, UsageError) as error:
            log.error("%s: stays as it is: %s", self.path, error)
            return
        self.plan, self.options = plan, plan.options
        close_store(await self.replace_store(store))

    def _hotplug_keys(self) -> dict[str, str]:
        """What a hotplug script would leave behind, so that none is needed.

        Nothing when one is: Xen's does nothing for a disk that has a `physical-device`.
        """
        if self.options.wait_for_hotplug:
            return {}
        keys = {"hotplug-status": "connected"}
        try:
            file = Path(self.disk.file).resolve()
            info = file.stat()
        except (OSError, UsageError):
            return keys
        if stat.S_ISBLK(info.st_mode):
            device = info.st_rdev
            keys["physical-device"] = f"{os.major(device):x}:{os.minor(device):x}"
        return keys | {"physical-device-path": str(file)}

    def describe(self) -> str:
        return XenbusDevice.describe(self) if self.finished_or_removed else super().describe()


class RefusedDisk(BackendDevice):
    """Stands for a disk that cannot be served, and says why when a frontend comes for it."""

    def __init__(self, client: XenstoreClient, path: str, reason: str) -> None:
        super().__init__(client, path)
        self.reason = reason

    async def offer(self) -> None:
        await self.write_keys({"hotplug-status": "error", "hotplug-error": self.reason})
        raise UsageError(self.reason)


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
        pumps: Pumps | None = None,
    ) -> None:
        """`plan` says how each disk is served; None: it is another backend's, leave it alone.
        `pumps` drive the queues, threads that outlive the service for instance; None: the loop.

        `state_directory` is this service's alone, and its successors': what they need to know of
        requests in flight. It is made if need be (OSError: it cannot be). Without one a successor
        takes up only connections on which the frontend waits for nothing.
        """
        if state_directory:
            state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.client = client
        self.hypervisor = hypervisor
        self.plan = plan
        self.backend = backend
        self.state_directory = state_directory
        self.pumps = pumps
        self._bus = backend_bus(client, hypervisor.domid, "vbd", self._probe)

    async def __aenter__(self) -> Self:
        if self.state_directory:
            await self._drop_stale(self.state_directory)
        self._bus.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.drain()

    async def _drop_stale(self, directory: Path) -> None:
        """Removes what an earlier service knew of devices that are gone."""
        for name in os.listdir(directory):
            prefix, _, device = name.partition("-")
            if prefix != STATE_PREFIX:
                continue
            path = f"{self._bus.root}/{device.replace('-', '/')}/state"
            with suppress(OSError):  # xenstore is gone
                if await self.client.read_optional(path) is None:
                    InflightFile(directory / name).clear()

    @property
    def devices(self) -> dict[str, XenbusDevice]:
        """The drivers that are there, by path."""
        return {path: d for path, d in self._bus.devices.items() if not d.finished_or_removed}

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
        """Serves disks by other plans from now on, without their frontends noticing."""
        self.plan = plan
        self._replan()
        await self._bus.settled()  # a disk that is being opened by the plan before is there then
        self._replan()
        for path, device in self.devices.items():
            if isinstance(device, RefusedDisk):
                await self._bus.forget(path)
        await self._bus.look()

    def _replan(self) -> None:
        for device in self.devices.values():
            if not isinstance(device, ServedDisk):
                continue
            wanted = self.plan(device.disk)
            if wanted is not None and wanted != (device.next_plan or device.plan):
                device.next_plan = wanted
                device.resize()

    async def _probe(self, client: XenstoreClient, path: str) -> BackendDevice | None:
        try:
            disk = await read_disk(client, path)
            plan = self.plan(disk)
            if plan is None:
                return None
            store = await plan.open_store(disk)
        except ConnectionError:
            raise  # xenstore is gone, and with it every disk
        except Exception as error:
            return self._refuse(client, path, error)
        device = self.backend(client, path, self.hypervisor, store, plan.options)
        if self.pumps and isinstance(device, VbdBackend):
            device.pumps = self.pumps
        if isinstance(device, ServedDisk):
            device.disk, device.plan = disk, plan
            if self.state_directory:
                name = f"{STATE_PREFIX}-{disk.domid}-{disk.devid}"
                device.inflight = InflightFile(self.state_directory / name)
        log.info("%s: served from %r", path, store)
        return device

    def _refuse(self, client: XenstoreClient, path: str, error: Exception) -> RefusedDisk:
        expected = isinstance(error, OSError | UsageError) and not isinstance(error, XenstoreError)
        log.error("%s: cannot be served: %s", path, error, exc_info=None if expected else error)
        return RefusedDisk(client, path, str(error))


def close_store(store: BlockStore) -> None:
    if isinstance(store, Store):
        store.close()
