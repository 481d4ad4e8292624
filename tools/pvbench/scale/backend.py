"""The backend's process: a service with all disks, and its poll threads."""

import asyncio
import gc
from typing import Any

from pvdrivers.backends.service import Service
from pvdrivers.backends.vbd.device import VbdBackend
from pvdrivers.backends.vbd.service import VbdService
from pvdrivers.poll.threads import PollThreads
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.job.xenstore import Loop
from pvdrivers.tools.pvbench.memory import resident
from pvdrivers.tools.pvbench.scale.processors import pin_thread
from pvdrivers.tools.pvbench.scale.spec import Memory, ScaleSpec
from pvdrivers.xenstore.client import XenstoreClient

SEGMENT = "memfd:pvdrivers-segment"  # the hypervisor's own tables, which are Xen's on Xen


class Backend:
    """All disks of domain 0, served as pvbackd does: by poll threads that never stop."""

    def __init__(self, machine: Machine, xenstore: str, spec: ScaleSpec) -> None:
        self._hypervisor = machine.open_hypervisor(0)
        cpus = spec.back_cpus or (None,)
        self._threads = PollThreads(len(cpus), spec.mode)
        self._threads.__enter__()
        for thread, cpu in zip(self._threads.thread_ids, cpus, strict=True):
            pin_thread(cpu, spec.shared, thread)
        self._loop = Loop()
        self._service = self._loop.call(self._serve(xenstore))

    async def _serve(self, xenstore: str) -> Service[Any, Any]:
        self._client = await XenstoreClient.connect(xenstore)
        service = VbdService(self._client, self._hypervisor, driver=self._threads)
        return await service.__aenter__()

    def memory(self) -> Memory:
        rings = self._loop.call(self._count_rings())
        gc.collect()
        return Memory(resident(without=SEGMENT), rings * self._hypervisor.page_size)

    async def _count_rings(self) -> int:
        """Rings have a page each."""
        disks = self._service.devices.values()
        return sum(len(disk.queues) for disk in disks if isinstance(disk, VbdBackend))

    def close(self) -> None:
        self._loop.call(self._leave())
        self._loop.close()
        self._threads.__exit__(None, None, None)
        self._hypervisor.close()

    async def _leave(self) -> None:
        await self._service.drain()
        self._client.close()
        await asyncio.sleep(0)  # the transport closes on the loop
