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
from pvdrivers.xenstore.client import XenstoreClient


def device_config(job: VnifJob, frontend: int, backend: int) -> DeviceConfig:
    """The network device a toolstack would have configured for a job's guest."""
    return vif_config(0, frontend, backend, mac=MACS[job.role], mtu=job.mtu)


class DrivenFrontend(VnifFrontend):
    """`release_queues` is called before they go away, and returns when nobody uses them."""

    release_queues: Callable[[], None]

    def serve(self) -> None:
        """The workload's thread does."""

    async def disconnect(self) -> None:
        await asyncio.to_thread(self.release_queues)
        await super().disconnect()


class DrivenProfile(DrivenFrontend, ProfileFrontend):
    """The same as another driver would."""


def features(job: VnifJob) -> FrontendFeatures:
    of_driver = PROFILES[job.profile].features if job.profile else FrontendFeatures()
    offloads = of_driver.offloads if job.offloads is None else job.offloads
    return replace(of_driver, max_queues=job.queues, control_ring=False, offloads=offloads)


def make_frontend(
    job: VnifJob, client: XenstoreClient, path: str, hypervisor: Hypervisor
) -> DrivenFrontend:
    if job.profile is None:
        return DrivenFrontend(client, path, hypervisor, features(job))
    profile = replace(PROFILES[job.profile], features=features(job), hash=False)
    return DrivenProfile(client, path, hypervisor, profile=profile)
