"""Both ends of one virtual SCSI host in one process and one event loop, driven by hand.

    async with ScsiPair(dom0.hypervisor, guest.hypervisor, {"disk": unit}) as host:
        await host.frontend.execute(host.luns["disk"], cdb, room=512)

`pvdrivers.testing.device_pair` says what both ends are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.frontends.scsi.device import ScsiFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig, scsi_config
from pvdrivers.scsi.features import FrontendFeatures
from pvdrivers.testing.device_pair import DevicePair
from pvdrivers.testing.scsi.emulated import EmulatedBackend
from pvdrivers.xenbus.device import BackendDevice
from pvdrivers.xenstore.store import XenStore


def luns_of(units: Mapping[str, object]) -> list[LunConfig]:
    """A LUN for each, at target 0 and by its name: 0:0:0:0, 0:0:0:1 …"""
    return [LunConfig(name, ScsiAddress(0, 0, 0, number)) for number, name in enumerate(units)]


class ScsiPair(DevicePair[BackendDevice, ScsiFrontend]):
    """One host between two domains. The units stay the caller's."""

    def __init__(
        self,
        dom0: Hypervisor,
        guest: Hypervisor,
        units: Mapping[str, LogicalUnit],
        *,
        devid: int = 0,
        features: FrontendFeatures | None = None,
        backend: Callable[..., BackendDevice] = EmulatedBackend,
        driver: PollDriver | None = None,
        frontend: Callable[..., ScsiFrontend] | None = None,
        xenstore: XenStore | None = None,
        connect: bool = True,
    ) -> None:
        """`backend` and `frontend` make other drivers than ours: the backend is called with a
        DeviceContext and the units, the frontend with a client, a path and a hypervisor."""
        luns = luns_of(units)
        self.luns = {lun.p_dev: lun.v_dev for lun in luns}
        self.units = units
        super().__init__(
            dom0,
            guest,
            scsi_config(devid, guest.domid, dom0.domid, luns=luns),
            lambda context: backend(context, units),
            frontend or partial(ScsiFrontend, features=features),
            driver=driver,
            xenstore=xenstore,
            connect=connect,
        )
