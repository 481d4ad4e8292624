"""Both ends of one network device in one process and one event loop, driven by hand.

    async with VnifPair(dom0.hypervisor, guest.hypervisor, HairpinUplink()) as vif:
        await vif.frontend.send([frame])

`pvdrivers.testing.device_pair` says what both ends are given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.backends.vnif.device import VnifBackend, VnifBackendOptions
from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.testing.device_pair import DevicePair
from pvdrivers.vnif.config import vif_config
from pvdrivers.vnif.features import FrontendFeatures
from pvdrivers.xenstore.store import XenStore


class VnifPair(DevicePair[VnifBackend, VnifFrontend]):
    """One network device between two domains. The uplink stays the caller's."""

    def __init__(
        self,
        dom0: Hypervisor,
        guest: Hypervisor,
        uplink: Uplink,
        *,
        devid: int = 0,
        options: VnifBackendOptions | None = None,
        features: FrontendFeatures | None = None,
        backend: Callable[..., VnifBackend] | None = None,
        driver: PollDriver | None = None,
        frontend: Callable[..., VnifFrontend] | None = None,
        xenstore: XenStore | None = None,
        connect: bool = True,
        **vif: Any,
    ) -> None:
        """`backend` and `frontend` make other drivers than ours: the backend is called with a
        DeviceContext and the uplink, the frontend with a client, a path and a hypervisor. `vif`:
        what `vif_config` takes beside devid and domids.
        """
        self.uplink = uplink
        make_backend = backend or partial(VnifBackend, options=options)
        super().__init__(
            dom0,
            guest,
            vif_config(devid, guest.domid, dom0.domid, **vif),
            lambda context: make_backend(context, self.uplink),
            frontend or partial(VnifFrontend, features=features),
            driver=driver,
            xenstore=xenstore,
            connect=connect,
        )
