"""QEMU's own network backend (xen_nic, in its words qnic) as the peer of a frontend.

    async with QemuVif(machine, guest) as vif:
        await vif.frontend.send([frame])
        await vif.frontend.flush()

It negotiates and takes what the guest transmits. A nic that is made by xenstore keys has no network
behind it, so nothing comes back. `pvdrivers.testing.qemu` says what QEMU is given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.sim import Domain, Machine
from pvdrivers.testing.qemu import QemuDevice
from pvdrivers.vnif.config import vif_config
from pvdrivers.vnif.features import FrontendFeatures
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient


class QemuVif(QemuDevice[VnifFrontend]):
    """A vif of `guest` that QEMU serves."""

    gone = (XenbusState.CLOSED,)

    def __init__(
        self,
        machine: Machine,
        guest: Domain,
        *,
        devid: int = 0,
        features: FrontendFeatures | None = None,
        **vif: Any,
    ) -> None:
        """`vif`: what `vif_config` takes beside."""
        config = replace(vif_config(devid, guest.domid, **vif), backend_kind="qnic")
        super().__init__(machine, guest, config)
        self.features = features

    def make_frontend(self, client: XenstoreClient) -> VnifFrontend:
        path, hypervisor = self.config.frontend_path, self.guest.hypervisor
        return VnifFrontend(client, path, hypervisor, self.features)
