"""All virtual disks that a backend domain serves.

async with VbdService(client, hypervisor):
    await asyncio.Event().wait()
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.exchange import close_in_time
from pvdrivers.backends.service import DeviceClass, Service
from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.vbd.device import VbdBackend
from pvdrivers.backends.vbd.disk import DiskConfig, ServeOptions, read_disk
from pvdrivers.backends.vbd.served_disk import ServedDisk
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.xenstore.client import XenstoreClient

log = logging.getLogger("pvdrivers.backends.vbd")


class BackendFactory(Protocol):
    """Makes the driver of a disk's backend: ServedDisk, or one's own. It owns the store."""

    def __call__(
        self, context: DeviceContext, disk: DiskConfig, options: ServeOptions, store: BlockStore, /
    ) -> VbdBackend: ...


def default_options(disk: DiskConfig) -> ServeOptions:
    """Serves every disk from what its `params` name."""
    return ServeOptions()


class VbdService(Service[DiskConfig, ServeOptions]):
    """Serves all VBDs below /local/domain/<domid of `hypervisor`>/backend/vbd."""

    def __init__(
        self,
        client: XenstoreClient,
        hypervisor: Hypervisor,
        options_for: Callable[[DiskConfig], ServeOptions | None] = default_options,
        backend: BackendFactory = ServedDisk,
        *,
        driver: PollDriver | None = None,
        state_directory: Path | None = None,
    ) -> None:
        """As Service; `backend` makes the disks' drivers."""
        super().__init__(
            DeviceClass("vbd", read_disk, partial(make_disk, backend)),
            client,
            hypervisor,
            options_for,
            driver=driver,
            state_directory=state_directory,
        )


async def make_disk(
    backend: BackendFactory, context: DeviceContext, disk: DiskConfig, options: ServeOptions
) -> VbdBackend:
    """Opens the disk's store and makes its driver."""
    store = await options.open(disk)
    try:
        device = backend(context, disk, options, store)
    except BaseException:
        await close_in_time(store)
        raise
    log.info("%s: served from %r", context.path, store)
    return device
