"""A guest of a loopback: a domain with one device, and the driver of its frontend."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from pvdrivers.background import end_task
from pvdrivers.frontends.balloon import Balloon
from pvdrivers.sim import Domain
from pvdrivers.sim.vcpu_loop import run_as
from pvdrivers.testing.attached_device import AttachedDevice
from pvdrivers.testing.device_under_test import DeviceUnderTest
from pvdrivers.toolstack.domain_builder import build, introduce
from pvdrivers.toolstack.xenstore_rings import GuestXenstore
from pvdrivers.xenbus.bus import DeviceBus, frontend_bus
from pvdrivers.xenstore.client import XenstoreClient


class Guest(AttachedDevice):
    """Its drivers run on the loop of the test."""

    def __init__(self, domain: Domain, device: DeviceUnderTest, toolstack: XenstoreClient) -> None:
        self.domain = domain
        self.config = device.config(domain.domid)
        self.toolstack = toolstack
        self._make_frontend = device.frontend
        self._running = AsyncExitStack()
        self._bus: DeviceBus
        self._xenstore: GuestXenstore

    async def boot(self) -> None:
        """Builds the domain, plugs its device in and starts its drivers."""
        await introduce(self.toolstack, self.domain, build(self.domain))
        await self.plug()
        await self.start()

    async def start(self) -> None:
        """Starts the guest's drivers: at first, and again after `stop`."""
        await run_as(self.domain, self._start())

    async def _start(self) -> None:
        hypervisor = self.domain.hypervisor
        self._xenstore = xenstore = GuestXenstore(hypervisor)
        self._running.callback(xenstore.close)
        self._bus = frontend_bus(
            xenstore.client,
            self.domain.domid,
            self.config.kind,
            lambda client, path: self._make_frontend(client, path, hypervisor),
        )
        self._bus.start()
        self._running.push_async_callback(self._bus.abort)

    def start_balloon(self) -> Balloon:
        """The guest's memory follows its `memory/target` from here on, until `stop`."""
        balloon = Balloon(self._xenstore.client, self.domain.hypervisor)
        task = asyncio.create_task(balloon.run())
        self._running.push_async_callback(end_task, task)
        return balloon

    async def stop(self) -> None:
        """Ends the guest's drivers without a word to the backend, as a crash does."""
        await self._running.aclose()

    async def frontend(self) -> Any:
        """The frontend's driver, as soon as it has been probed."""
        return await self._bus.wait_for(self.config.frontend_path)

    async def next_frontend(self, before: Any) -> Any:
        """The driver of the device plugged in after that of the driver `before`."""
        while (new := await self.frontend()) is before:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.001)
        return new

    async def close(self) -> None:
        """Closes the device in order, as a guest does that shuts down."""
        await self._bus.close()
