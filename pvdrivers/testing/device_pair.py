"""Both ends of one device in one process and one event loop, driven by hand.

For tests that use the inside of both ends, or only one end. There is no service and no bus: the
test makes and starts the drivers. `pvdrivers.testing.loopback` runs whole devices. Runs on any
loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from pvdrivers.backends.device import DeviceContext
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.poll.loop import LoopDriver
from pvdrivers.testing.attached_device import AttachedDevice
from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.xenbus.device import BackendDevice, FrontendDevice
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.store import XenStore

Backend = TypeVar("Backend", bound=BackendDevice)
Frontend = TypeVar("Frontend", bound=FrontendDevice)


class DevicePair(AttachedDevice, Generic[Backend, Frontend]):
    """One device between two domains; several may share a xenstore."""

    def __init__(
        self,
        dom0: Hypervisor,
        guest: Hypervisor,
        config: DeviceConfig,
        make_backend: Callable[[DeviceContext], Backend],
        make_frontend: Callable[[XenstoreClient, str, Hypervisor], Frontend],
        *,
        driver: PollDriver | None = None,
        xenstore: XenStore | None = None,
        connect: bool = True,
    ) -> None:
        """`driver` drives the backend's queues; None: the loop. Without `connect` the test starts
        both ends."""
        self.xenstore = xenstore or XenStore()
        self.config = config
        self._make_backend = make_backend
        self._make_frontend = make_frontend
        self._connect = connect
        self._driver = driver or LoopDriver()
        self._hypervisors = dom0, guest
        self.backend: Backend
        self.frontend: Frontend

    async def __aenter__(self) -> Self:
        self.toolstack = XenstoreClient.in_process(self.xenstore, 0)
        await self.plug()
        self.backend = self.new_backend()
        self.frontend = self.new_frontend()
        if self._connect:
            self.backend.start()
            self.frontend.start()
            await self.frontend.wait_for(XenbusState.CONNECTED)
            await self.backend.wait_for(XenbusState.CONNECTED)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.frontend.abort()
        await self.backend.abort()
        await self.unplug_forced()

    def new_backend(self) -> Backend:
        """Another backend for the same device, not started, as a restarted daemon has it."""
        hypervisor = self._hypervisors[0]
        client = XenstoreClient.in_process(self.xenstore, hypervisor.domid)
        context = DeviceContext(client, self.config.backend_path, hypervisor, self._driver)
        self.backend = self._make_backend(context)
        return self.backend

    def new_frontend(self) -> Frontend:
        """Another frontend for the same device, not started, as a rebooted guest has it."""
        hypervisor = self._hypervisors[1]
        client = XenstoreClient.in_process(self.xenstore, hypervisor.domid)
        self.frontend = self._make_frontend(client, self.config.frontend_path, hypervisor)
        return self.frontend

    async def wait(self, condition: Callable[[], Any], patience: float = 20.0) -> None:
        """Until `condition()`, looked at every millisecond of the loop's time."""
        async with asyncio.timeout(patience):
            while not condition():  # noqa: ASYNC110 - a test's condition has no event
                await asyncio.sleep(0.001)
