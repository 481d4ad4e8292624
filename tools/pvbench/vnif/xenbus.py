"""The guest's end of the device on xenbus, as in any other program; only its queues, once
connected, are left to the benchmark's own thread."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.testing.vnif.profiles import PROFILES, ProfileFrontend
from pvdrivers.tools.pvbench.vnif.job import MACS, VnifJob
from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.vnif.config import vif_config
from pvdrivers.vnif.features import FrontendFeatures
from pvdrivers.vnif.keys import DeviceInfo
from pvdrivers.xenstore.client import XenstoreClient


def device_config(job: VnifJob, frontend: int, backend: int) -> DeviceConfig:
    """The network device a toolstack would have configured for a job's guest."""
    return vif_config(0, frontend, backend, mac=MACS[job.role], mtu=job.mtu)


class DrivenFrontend(VnifFrontend):
    """`release_queues` is called before they go away, and returns when nobody uses them."""

    release_queues: Callable[[], None]
    static_grants = False

    def serve(self) -> None:
        """The workload's thread does."""

    async def connected(self) -> DeviceInfo:
        info = await super().connected()
        if self.static_grants:
            await self.use_static_grants()
        return info

    async def use_static_grants(self) -> int:
        """Before the workload's thread begins, since that takes every event of the device."""
        self.drive_queues([self._control])
        try:
            return await super().use_static_grants()
        finally:
            self._release()

    async def disconnect(self) -> None:
        await asyncio.to_thread(self.release_queues)
        await super().disconnect()


class DrivenProfile(DrivenFrontend, ProfileFrontend):
    """The same as another driver would."""


def features(job: VnifJob) -> FrontendFeatures:
    of_driver = PROFILES[job.profile].features if job.profile else FrontendFeatures()
    offloads = of_driver.offloads if job.offloads is None else job.offloads
    return replace(
        of_driver, max_queues=job.queues, control_ring=job.static_grants, offloads=offloads
    )


def make_frontend(
    job: VnifJob, client: XenstoreClient, path: str, hypervisor: Hypervisor
) -> DrivenFrontend:
    if job.profile is None:
        return DrivenFrontend(client, path, hypervisor, features(job))
    profile = replace(PROFILES[job.profile], features=features(job), hash=False)
    return DrivenProfile(client, path, hypervisor, profile=profile)
