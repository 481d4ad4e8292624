"""All virtual network devices that a backend domain serves.

async with VnifService(client, hypervisor, lambda vif: ServeOptions(open_uplink)):
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
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.backends.vnif.device import VnifBackend
from pvdrivers.backends.vnif.served_vif import ServedVif
from pvdrivers.backends.vnif.vif import ServeOptions, VifConfig, read_vif
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.xenstore.client import XenstoreClient

log = logging.getLogger("pvdrivers.backends.vnif")


class BackendFactory(Protocol):
    """Makes the driver of a vif's backend: ServedVif, or one's own. It owns the uplink."""

    def __call__(
        self, context: DeviceContext, vif: VifConfig, options: ServeOptions, uplink: Uplink, /
    ) -> VnifBackend: ...


class VnifService(Service[VifConfig, ServeOptions]):
    """Serves all vifs below /local/domain/<domid of `hypervisor`>/backend/vif."""

    def __init__(
        self,
        client: XenstoreClient,
        hypervisor: Hypervisor,
        options_for: Callable[[VifConfig], ServeOptions | None],
        backend: BackendFactory = ServedVif,
        *,
        driver: PollDriver | None = None,
        state_directory: Path | None = None,
    ) -> None:
        """As Service; `backend` makes the vifs' drivers."""
        super().__init__(
            DeviceClass("vif", read_vif, partial(make_vif, backend)),
            client,
            hypervisor,
            options_for,
            driver=driver,
            state_directory=state_directory,
        )


async def make_vif(
    backend: BackendFactory, context: DeviceContext, vif: VifConfig, options: ServeOptions
) -> VnifBackend:
    """Opens the vif's uplink and makes its driver."""
    uplink = await options.open(vif)
    try:
        device = backend(context, vif, options, uplink)
    except BaseException:
        await close_in_time(uplink)
        raise
    log.info("%s: on %r", context.path, uplink)
    return device
