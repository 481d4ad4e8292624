"""A connected block device in one process and one event loop: frontend, backend, store, toolstack.

    async with VbdLoopback(dom0.hypervisor, guest.hypervisor, RamStore(1 << 20)) as disk:
        await disk.frontend.write(0, b"x" * 512)

For tests that reach into both ends; `pvdrivers.testing.loopback` is the kit that also knows threads
and processes. Runs on any loop. `connect=False` leaves both ends to be started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Self

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.vbd.device import VbdBackend, VbdBackendOptions
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.poll.loop import LoopDriver
from pvdrivers.testing.plugged import AttachedDevice
from pvdrivers.vbd.config import disk_config
from pvdrivers.vbd.features import FrontendFeatures
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.store import XenStore


class VbdLoopback(AttachedDevice):
    """One disk between two domains; several may share a xenstore."""

    def __init__(
        self,
        dom0: Hypervisor,
        guest: Hypervisor,
        store: BlockStore,
        *,
        name: str = "xvda",
        options: VbdBackendOptions | None = None,
        features: FrontendFeatures | None = None,
        backend: Callable[..., VbdBackend] | None = None,
        driver: PollDriver | None = None,
        frontend: Callable[..., VbdFrontend] | None = None,
        xenstore: XenStore | None = None,
        connect: bool = True,
        **disk: Any,
    ) -> None:
        """`backend` and `frontend` make other drivers than ours (`pvdrivers.testing.peers`): the
        backend is called with a DeviceContext and the store, the frontend with a client, a path and
        a hypervisor. `driver` drives the backend's queues; None: the loop. `disk`: what
        `disk_config` takes beside name and domids (writable, trusted ...).
        """
        self.xenstore = xenstore or XenStore()
        self.config = disk_config(name, guest.domid, dom0.domid, **disk)
        self.store = store
        self._make_backend = backend or partial(VbdBackend, options=options)
        self._make_frontend = frontend or partial(VbdFrontend, features=features)
        self._connect = connect
        self._driver = driver or LoopDriver()
        self._hypervisors = dom0, guest
        self.backend: VbdBackend
        self.frontend: VbdFrontend

    async def __aenter__(self) -> Self:
        self.toolstack = XenstoreClient.in_process(self.xenstore, 0)
        await self.plug()
        self.backend = self.new_backend()
        self.frontend = self.new_frontend()
        if self._connect:
            self.backend.start()
            self.frontend.start()
            await self.frontend.connected()
            await self.backend.wait_for(XenbusState.CONNECTED)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.frontend.abort()
        await self.backend.abort()
        await self.unplug_forced()

    def new_backend(self) -> VbdBackend:
        """Another backend for the same device, not started, as a restarted daemon has it."""
        hypervisor = self._hypervisors[0]
        client = XenstoreClient.in_process(self.xenstore, hypervisor.domid)
        path = self.config.backend_path
        context = DeviceContext(client, path, hypervisor, self._driver)
        self.backend = self._make_backend(context, self.store)
        return self.backend

    def new_frontend(self) -> VbdFrontend:
        """Another frontend for the same device, not started, as a rebooted guest has it."""
        hypervisor = self._hypervisors[1]
        client = XenstoreClient.in_process(self.xenstore, hypervisor.domid)
        path = self.config.frontend_path
        self.frontend = self._make_frontend(client, path, hypervisor)
        return self.frontend

    async def wait(self, condition: Callable[[], bool], patience: float = 20.0) -> None:
        """Until `condition()`, looked at every millisecond of the loop's time."""
        async with asyncio.timeout(patience):
            while not condition():  # noqa: ASYNC110 - a test's condition has no event
                await asyncio.sleep(0.001)
