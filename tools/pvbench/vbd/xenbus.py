"""Both ends of the disk on xenbus, as in any other program; only the queues, once connected, are
left to the benchmark's own threads."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pvdrivers._core import lib
from pvdrivers.backends.vbd.device import VbdBackend
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.testing.vbd.dialects import PROFILES
from pvdrivers.testing.vbd.emulated import DialectFrontend
from pvdrivers.tools.pvbench.vbd.job import VbdJob
from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.vbd.config import disk_config
from pvdrivers.vbd.features import FrontendFeatures
from pvdrivers.xenstore.client import XenstoreClient


def device_config(job: VbdJob, frontend: int, backend: int) -> DeviceConfig:
    """The disk a toolstack would have configured for a job."""
    if job.backend == "qemu":  # which refuses a disk it may not write to
        params = f"aio:{job.store.path}"
        return disk_config(
            "xvda", frontend, backend, kind="qdisk", params=params, trusted=job.trusted
        )
    writable = not job.store.read_only
    return disk_config("xvda", frontend, backend, writable=writable, trusted=job.trusted)


class DrivenFrontend(VbdFrontend):
    """`leave` is called before the queues go away, and must not return before they are unused."""

    leave: Callable[[], None]

    def serve(self) -> None:
        """The workload's thread does."""

    def load_queues(self) -> list[Any]:
        """As `LoadedDevice` has them."""
        return [lib.pv_load_blk_queue(queue.pointer) for queue in self.queues]

    async def disconnect(self) -> None:
        await asyncio.to_thread(self.leave)
        await super().disconnect()


class DrivenProfile(DrivenFrontend, DialectFrontend):
    """The same as another driver would."""


def make_frontend(
    job: VbdJob, client: XenstoreClient, path: str, hypervisor: Hypervisor
) -> DrivenFrontend:
    if job.profile is None:
        features = FrontendFeatures(
            protocol=hypervisor.abi.protocol,
            persistent=job.persistent,
            max_indirect_segments=job.indirect,
            max_ring_page_order=job.ring_page_order,
            max_queues=job.queues,
        )
        return DrivenFrontend(client, path, hypervisor, features)
    dialect = replace(
        PROFILES[job.profile],
        persistent=job.persistent,
        max_indirect_segments=job.indirect,
        max_ring_page_order=job.ring_page_order,
        reads=0,  # the queues are the workload's from the beginning
    )
    return DrivenProfile(client, path, hypervisor, dialect=dialect, processors=job.queues)


class DrivenBackend(VbdBackend):
    """`serve_queues` is called with the queues, `leave` before they go away."""

    serve_queues: Callable[[list[Any]], None]
    leave: Callable[[], None]

    def serve(self) -> None:
        self.serve_queues([queue.pointer for queue in self.queues])

    async def disconnect(self) -> None:
        await asyncio.to_thread(self.leave)
        await super().disconnect()
