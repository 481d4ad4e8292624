"""The drivers that a service makes: of a disk that is served, and of one that cannot be."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from contextlib import suppress
from pathlib import Path

from pvdrivers._core import ffi, lib
from pvdrivers.backends.vbd.device import BlockStore, VbdBackend
from pvdrivers.backends.vbd.disk import Disk, DiskPlan, close_store, unexpected
from pvdrivers.daemon_threads import in_daemon_thread
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.vbd.keys import EARLY_KEYS, LATE_KEYS, FrontendHead, read_backend
from pvdrivers.xenbus.device import BackendDevice, XenbusDevice
from pvdrivers.xenbus.states import Event, XenbusState
from pvdrivers.xenstore.client import XenstoreClient

log = logging.getLogger("pvdrivers.backends.vbd")

STAT_TIMEOUT = 5.0  # seconds


class ServedDisk(VbdBackend):
    """A backend that owns its store, tells the toolstack of it, and can go on with another."""

    # What is needed to serve the disk another way from now on.
    disk: Disk
    plan: DiskPlan
    _next_plan: DiskPlan | None = None  # whose store is being opened, or waits to be used
    _next_store: BlockStore | None = None
    _opening: asyncio.Task[None] | None = None
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
        await self._use_next_store()
        await self.write_keys(await self._hotplug_keys())
        await super().offer()

    async def exchange(self) -> None:
        await self._use_next_store()
        await self.update_size()

    async def removed(self) -> None:
        await super().removed()  # no queue may be left on the store
        await asyncio.gather(self._drop_next(), close_store(self.store))
        if self.inflight and (self.state is XenbusState.CLOSED or await self._directory_is_gone()):
            self.inflight.clear()

    async def _directory_is_gone(self) -> bool:
        try:
            return await self.client.read_optional(f"{self.path}/state") is None
        except OSError:
            return False

    # ---- another plan ----------------------------------------------------------------------

    async def serve_by(self, plan: DiskPlan) -> bool:
        """Goes on by `plan`, with its store as soon as that is open; False: it does already.

        Nothing waits for the store, neither the caller nor the device, which can be unplugged.
        """
        before = self._next_plan or self.plan
        if plan == before:
            return False
        log.info("%s: %s", self.path, before.changes(plan))
        await self._drop_next()
        if plan.open_store == self.plan.open_store:
            self.plan, self.options = plan, plan.options
        else:
            self._next_plan = plan
            name = f"open {self.path}"
            self._opening = asyncio.get_running_loop().create_task(self._open(plan), name=name)
        return True

    async def _open(self, plan: DiskPlan) -> None:
        try:
            self._next_store = await plan.open(self.disk)
        except Exception as error:
            log.error("%s: stays as it is: %s", self.path, error, exc_info=unexpected(error))
            self._next_plan = None
        else:
            self.request(Event.EXCHANGE)

    async def _drop_next(self) -> None:
        if self._opening:
            self._opening.cancel()
        store, self._next_store, self._next_plan = self._next_store, None, None
        if store:
            await close_store(store)

    async def _use_next_store(self) -> None:
        plan, store, old = self._next_plan, self._next_store, self.store
        if plan is None or store is None:
            return
        self._next_plan = self._next_store = None
        self.plan, self.options = plan, plan.options
        try:
            await self.replace_store(store)
        finally:
            await close_store(old if self.store is store else store)

    # ---- what a hotplug script would do ----------------------------------------------------

    async def _hotplug_keys(self) -> dict[str, str]:
        """What a hotplug script would leave behind, so that none is needed.

        Nothing when one is: Xen's does nothing for a disk that has a `physical-device`.
        """
        if self.options.wait_for_hotplug:
            return {}
        keys = {"hotplug-status": "connected"}
        with suppress(OSError, UsageError):  # TimeoutError is an OSError
            async with asyncio.timeout(STAT_TIMEOUT):
                keys |= await in_daemon_thread(lambda: physical_keys(self.disk.file))
        return keys

    def describe(self) -> str:
        if self.is_gone:
            return XenbusDevice.describe(self)
        lost = ", in-flight log lost" if self.inflight and self.inflight.is_lost else ""
        return super().describe() + lost


def physical_keys(path: str) -> dict[str, str]:
    """Which file or block device is at `path`, as Xen's hotplug scripts write it."""
    file = Path(path).resolve()
    info = file.stat()
    keys = {"physical-device-path": str(file)}
    if stat.S_ISBLK(info.st_mode):
        device = info.st_rdev
        keys["physical-device"] = f"{os.major(device):x}:{os.minor(device):x}"
    return keys


class RefusedDisk(BackendDevice):
    """Stands for a disk that cannot be served, and says why when a frontend comes for it."""

    def __init__(self, client: XenstoreClient, path: str, reason: str) -> None:
        super().__init__(client, path)
        self.reason = reason

    async def offer(self) -> None:
        await self.write_keys({"hotplug-status": "error", "hotplug-error": self.reason})
        raise UsageError(self.reason)
