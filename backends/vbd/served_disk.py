"""A disk that a service serves: it owns its store, and can go on with another."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.exchange import Exchange, Served, close_in_time
from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.vbd.device import VbdBackend
from pvdrivers.backends.vbd.disk import DiskConfig, ServeOptions
from pvdrivers.daemon_threads import in_daemon_thread
from pvdrivers.ring.errors import UsageError
from pvdrivers.xenbus.device import XenbusDevice

log = logging.getLogger("pvdrivers.backends.vbd")

STAT_TIMEOUT = 5.0  # seconds


class ServedDisk(Served[ServeOptions, BlockStore], VbdBackend):
    """A backend that owns its store, tells the toolstack of it, and can go on with another."""

    log = log

    def __init__(
        self, context: DeviceContext, disk: DiskConfig, options: ServeOptions, store: BlockStore
    ) -> None:
        super().__init__(context, store, options.limits)
        self.disk = disk
        self.serve_options = options
        self._next = Exchange(self)

    async def offer(self) -> None:
        await self._use_next()
        await self.write_keys(await self._hotplug_keys())
        await super().offer()

    async def connect(self) -> None:
        await self._use_next()  # which may have been opened since the offer
        await super().connect()

    async def exchange(self) -> None:
        await self._use_next()
        await self.update_size()

    async def removed(self) -> None:
        await super().removed()  # no queue may be left on the store
        await asyncio.gather(self._next.drop(), close_in_time(self.store))

    def status(self) -> dict[str, Any]:
        disk = self.disk
        known = {"params": disk.params, "type": disk.kind, "name": disk.name}
        return super().status() | known

    # ---- another store ---------------------------------------------------------------------

    @property
    def _base(self) -> BlockStore:
        return self.store

    def _open(self, options: ServeOptions) -> Awaitable[BlockStore]:
        return options.open(self.disk)

    async def _replace(self, base: BlockStore) -> BlockStore:
        return await self.replace_store(base)

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
