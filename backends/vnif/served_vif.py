"""A vif that a service serves: it owns its uplink, and can go on with another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.exchange import Exchange, Served, end_in_time
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.backends.vnif.device import VnifBackend
from pvdrivers.backends.vnif.vif import ServeOptions, VifConfig

log = logging.getLogger("pvdrivers.backends.vnif")


class ServedVif(Served[ServeOptions, Uplink], VnifBackend):
    """A backend that owns its uplink, tells the toolstack that it is in place, and can go on with
    another."""

    log = log

    def __init__(
        self, context: DeviceContext, vif: VifConfig, options: ServeOptions, uplink: Uplink
    ) -> None:
        super().__init__(context, uplink, options.limits)
        self.vif = vif
        self.serve_options = options
        self._next = Exchange(self)

    async def offer(self) -> None:
        await self._use_next()
        if not self.options.wait_for_hotplug:  # else a script says so
            await self.write_keys({"hotplug-status": "connected"})
        await super().offer()

    async def connect(self) -> None:
        await self._use_next()  # which may have been opened since the offer
        await super().connect()

    async def exchange(self) -> None:
        await self._use_next()

    async def removed(self) -> None:
        await super().removed()  # no queue may be left on the uplink
        await asyncio.gather(self._next.drop(), self._end_uplink())

    async def _end_uplink(self) -> None:
        """A successor of this service finds the interface as it is; when the vif is gone, so is
        that."""
        uplink = self.uplink
        end = uplink.discard if await self._is_unplugged() else uplink.close
        await end_in_time(end, repr(uplink))

    def status(self) -> dict[str, Any]:
        vif = self.vif
        known = {"name": vif.interface, "bridge": vif.bridge, "type": vif.kind}
        return super().status() | known

    # ---- another uplink --------------------------------------------------------------------

    @property
    def _base(self) -> Uplink:
        return self.uplink

    def _open(self, options: ServeOptions) -> Awaitable[Uplink]:
        return options.open(self.vif)

    async def _replace(self, base: Uplink) -> Uplink:
        return await self.replace_uplink(base)
