"""A connected block device in one process and one event loop: frontend, backend, store, toolstack.

    async with VbdLoopback(dom0.hypervisor, guest.hypervisor, RamStore(1 << 20)) as disk:
        await disk.frontend.write(0, b"x" * 512)

For tests that reach into both ends; `pvdrivers.testing.loopback` is the kit that also knows threads
and processes. Runs on any loop. `connect=False` leaves both ends to be started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from pvdrivers.vbd.config import disk_config
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenbus.toolstack import add_device, destroy_device, unplug_device
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.store import Store as Xenstore

if TYPE_CHECKING:
    from pvdrivers.backends.vbd.device import BlockStore, VbdBackend, VbdBackendOptions
    from pvdrivers.frontends.vbd.device import VbdFrontend
    from pvdrivers.hypervisor import Hypervisor
    from pvdrivers.vbd.features import FrontendFeatures


class VbdLoopback:
    """One disk between two domains; several may share a xenstore."""

    def __init__(
        self,
        backend: Hypervisor,
        frontend: Hypervisor,
        store: BlockStore,
        *,
        name: str = "xvda",
        options: VbdBackendOptions | None = None,
        features: FrontendFeatures | None = None,
        xenstore: Xenstore | None = None,
        connect: bool = True,
        **disk: Any,
    ) -> None:
        """`disk`: what `disk_config` takes beside name and domids (writable, trusted ...)."""
        self.xenstore = xenstore or Xenstore()
        self.config = disk_config(name, frontend.domid, backend.domid, **disk)
        self.store = store
        self.options = options
        self.features = features
        self._connect = connect
        self._hypervisors = backend, frontend
        self.toolstack: XenstoreClient
        self.backend: VbdBackend
        self.frontend: VbdFrontend

    async def __aenter__(self) -> Self:
        self.toolstack = XenstoreClient.in_process(self.xenstore, 0)
        frontend_domid = self.config.frontend_domid
        home = f"/local/domain/{frontend_domid}"
        if not await self.toolstack.exists(home):
            await self.toolstack.mkdir(home)
            await self.toolstack.set_permissions(home, [f"n{frontend_domid}"])
        await add_device(self.toolstack, self.config)
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
        await destroy_device(self.toolstack, self.config)

    def new_backend(self) -> VbdBackend:
        """Another backend for the same device, not started, as a restarted daemon has it."""
        from pvdrivers.backends.vbd.device import VbdBackend

        hypervisor = self._hypervisors[0]
        client = XenstoreClient.in_process(self.xenstore, hypervisor.domid)
        path = self.config.backend_path
        self.backend = VbdBackend(client, path, hypervisor, self.store, self.options)
        return self.backend

    def new_frontend(self) -> VbdFrontend:
        """Another frontend for the same device, not started, as a rebooted guest has it."""
        from pvdrivers.frontends.vbd.device import VbdFrontend

        hypervisor = self._hypervisors[1]
        client = XenstoreClient.in_process(self.xenstore, hypervisor.domid)
        path = self.config.frontend_path
        self.frontend = VbdFrontend(client, path, hypervisor, self.features)
        return self.frontend

    async def unplug(self) -> bool:
        """As `xl block-detach` does; False when the frontend did not let go in time."""
        return await unplug_device(self.toolstack, self.config)

    async def wait(self, condition: Callable[[], bool], patience: float = 20.0) -> None:
        """Until `condition()`, looked at every millisecond of the loop's time."""
        async with asyncio.timeout(patience):
            while not condition():  # noqa: ASYNC110 - a test's condition has no event
                await asyncio.sleep(0.001)
