"""A disk that a service serves: it owns its store, and can go on with another."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.service import traceback_of
from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.vbd.device import VbdBackend
from pvdrivers.backends.vbd.disk import DiskConfig, ServeOptions, close_store
from pvdrivers.daemon_threads import in_daemon_thread
from pvdrivers.ring.errors import UsageError
from pvdrivers.xenbus.device import XenbusDevice
from pvdrivers.xenbus.states import Event

log = logging.getLogger("pvdrivers.backends.vbd")

STAT_TIMEOUT = 5.0  # seconds


class ServedDisk(VbdBackend):
    """A backend that owns its store, tells the toolstack of it, and can go on with another."""

    def __init__(
        self, context: DeviceContext, disk: DiskConfig, options: ServeOptions, store: BlockStore
    ) -> None:
        super().__init__(context, store, options.limits)
        self.disk = disk
        self.serve_options = options
        self._next_options: ServeOptions | None = None  # their store is being opened, or is
        self._next_store: BlockStore | None = None
        self._opening: asyncio.Task[None] | None = None

    async def offer(self) -> None:
        await self._use_next_store()
        await self.write_keys(await self._hotplug_keys())
        await super().offer()

    async def connect(self) -> None:
        await self._use_next_store()  # which may have been opened since the offer
        await super().connect()

    async def exchange(self) -> None:
        await self._use_next_store()
        await self.update_size()

    async def removed(self) -> None:
        await super().removed()  # no queue may be left on the store
        await asyncio.gather(self._drop_next(), close_store(self.store))

    def status(self) -> dict[str, Any]:
        disk = self.disk
        known = {"params": disk.params, "type": disk.kind, "name": disk.name}
        return super().status() | known

    # ---- another store ---------------------------------------------------------------------

    async def reload(self, options: ServeOptions) -> bool:
        """Applies `options`, with their store as soon as it is open; false: nothing changes.

        Nothing waits for the store, neither the caller nor the device, which can be unplugged.
        """
        before = self._next_options or self.serve_options
        if options == before:
            return False
        log.info("%s: %s", self.path, before.changes(options))
        await self._drop_next()
        if options.open_store == self.serve_options.open_store:
            self._use(options)
        else:
            self._next_options = options
            name = f"open {self.path}"
            self._opening = asyncio.get_running_loop().create_task(self._open(options), name=name)
        return True

    def _use(self, options: ServeOptions) -> None:
        self.serve_options, self.options = options, options.limits

    async def _open(self, options: ServeOptions) -> None:
        try:
            self._next_store = await options.open(self.disk)
        except Exception as error:
            log.error("%s: stays as it is: %s", self.path, error, exc_info=traceback_of(error))
            self._next_options = None
        else:
            self.request(Event.EXCHANGE)

    async def _drop_next(self) -> None:
        if self._opening:
            self._opening.cancel()
        store, self._next_store, self._next_options = self._next_store, None, None
        if store:
            await close_store(store)

    async def _use_next_store(self) -> None:
        options, store, old = self._next_options, self._next_store, self.store
        if options is None or store is None:
            return
        self._next_options = self._next_store = None
        self._use(options)
        try:
            await self.replace_store(store)
        finally:
            await close_store(old if self.store is store else store)

    # ---- what a hotplug script would do ----------------------------------------------------

    async def _hotplug_keys(self) -> dict[str, str]:
        """The keys that a hotplug script would write, so that none is needed.

        Nothing when one is: Xen's does nothing for a disk that has a `physical-device`.
        """
        if self.options.wait_for_hotplug:
            return {}
        keys = {"hotplug-status": "connected"}
        with suppress(OSError, UsageError):  # TimeoutError is an OSError
            file = self.disk.file  # UsageError: there is none, and no thread is needed to ask
            async with asyncio.timeout(STAT_TIMEOUT):
                keys |= await in_daemon_thread(partial(physical_keys, file))
        return keys

    def describe(self) -> str:
        return XenbusDevice.describe(self) if self.is_gone else super().describe()


def physical_keys(path: str) -> dict[str, str]:
    """Which file or block device is at `path`, as Xen's hotplug scripts write it."""
    file = Path(path).resolve()
    info = file.stat()
    keys = {"physical-device-path": str(file)}
    if stat.S_ISBLK(info.st_mode):
        device = info.st_rdev
        keys["physical-device"] = f"{os.major(device):x}:{os.minor(device):x}"
    return keys
