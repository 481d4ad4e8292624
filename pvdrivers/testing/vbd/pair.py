"""Both ends of one disk in one process and one event loop, driven by hand.

    async with VbdPair(dom0.hypervisor, guest.hypervisor, RamStore(1 << 20)) as disk:
        await disk.frontend.write(0, b"x" * 512)

`pvdrivers.testing.device_pair` says what both ends are given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.vbd.device import VbdBackend, VbdBackendOptions
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.testing.device_pair import DevicePair
from pvdrivers.vbd.config import disk_config
from pvdrivers.vbd.features import FrontendFeatures
from pvdrivers.xenstore.store import XenStore


class VbdPair(DevicePair[VbdBackend, VbdFrontend]):
    """One disk between two domains."""

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
        """`backend` and `frontend` make other drivers than ours, such as the emulated ones of
        `pvdrivers.testing.vbd.emulated`: the backend is called with a DeviceContext and the store,
        the frontend with a client, a path and a hypervisor. `disk`: what `disk_config` takes beside
        name and domids.
        """
        self.store = store
        make_backend = backend or partial(VbdBackend, options=options)

        super().__init__(
            dom0,
            guest,
            disk_config(name, guest.domid, dom0.domid, **disk),
            lambda context: make_backend(context, self.store),
            frontend or partial(VbdFrontend, features=features),
            driver=driver,
            xenstore=xenstore,
            connect=connect,
        )
