"""The backend's process: a service with all disks, and threads that drive poll groups."""

import asyncio
import gc
import os
import threading
from collections.abc import Sequence
from typing import Any

from pvdrivers.backends.vbd.device import BlockStore, VbdBackendOptions
from pvdrivers.backends.vbd.service import ServedDisk, VbdService
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring._core import ffi, lib
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.back import MODES
from pvdrivers.tools.pvbench.crowd.plan import NAMES, Memory, Plan
from pvdrivers.tools.pvbench.crowd.processors import settle
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.memory import resident
from pvdrivers.tools.pvbench.xenbus import Loop
from pvdrivers.xenstore.client import XenstoreClient

SEGMENT = "memfd:pvdrivers-segment"  # the hypervisor's own tables, which are Xen's on Xen


class GroupThread:
    """A poll group and the thread that drives it. Queues come and go while it is stopped."""

    def __init__(self, plan: Plan, cpu: int | None) -> None:
        self._group = lib.pv_blkback_group_create(MODES[plan.mode])
        if self._group == ffi.NULL:
            raise BenchError(f"there is no poll group: {os.strerror(ffi.errno)}")
        self._cpu, self._shared = cpu, plan.shared
        self._stop = ffi.new("uint32_t *")
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._stop[0] = 0
        self._thread = threading.Thread(target=self._run, name="poll group", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        settle(self._cpu, self._shared)
        lib.pv_blkback_group_run(self._group, self._stop)

    def stop(self) -> None:
        self._stop[0] = 1
        if self._thread:
            self._thread.join()

    def add(self, queues: Sequence[Any]) -> None:
        for queue in queues:
            if (status := lib.pv_blkback_group_add(self._group, queue)) < 0:
                raise OSError(-status, f"a queue has no poll group: {os.strerror(-status)}")

    def remove(self, queues: Sequence[Any]) -> None:
        for queue in queues:
            lib.pv_blkback_group_remove(self._group, queue)

    def close(self) -> None:
        lib.pv_blkback_group_destroy(self._group)


class GroupedDisk(ServedDisk):
    """A disk whose queues a poll group drives."""

    groups: Sequence[GroupThread]

    @property
    def _group(self) -> GroupThread:
        return self.groups[NAMES.index(self.disk.name) % len(self.groups)]

    def serve(self) -> None:
        self._group.add(self.queues)

    async def disconnect(self) -> None:
        self._group.remove(self.queues)
        await super().disconnect()


class Backs:
    """All disks of domain 0. Guests connect while the threads are stopped."""

    def __init__(self, machine: Machine, xenstore: str, plan: Plan) -> None:
        self._hypervisor = machine.open_hypervisor(0)
        self._groups = [GroupThread(plan, cpu) for cpu in plan.back_cpus or (None,)]
        self._loop = Loop()
        self._service = self._loop.call(self._serve(xenstore))

    async def _serve(self, xenstore: str) -> VbdService:
        self._client = await XenstoreClient.connect(xenstore)
        service = VbdService(self._client, self._hypervisor, backend=self._make)
        return await service.__aenter__()

    def _make(
        self,
        client: XenstoreClient,
        path: str,
        hypervisor: Hypervisor,
        store: BlockStore,
        options: VbdBackendOptions,
    ) -> GroupedDisk:
        disk = GroupedDisk(client, path, hypervisor, store, options)
        disk.groups = self._groups
        return disk

    def start(self) -> None:
        for group in self._groups:
            group.start()

    def stop(self) -> None:
        for group in self._groups:
            group.stop()

    def memory(self) -> Memory:
        rings = self._loop.call(self._count_rings())
        gc.collect()
        return Memory(resident(without=SEGMENT), rings * self._hypervisor.page_size)

    async def _count_rings(self) -> int:
        """Rings have a page each."""
        disks = self._service.devices.values()
        return sum(len(disk.queues) for disk in disks if isinstance(disk, GroupedDisk))

    def close(self) -> None:
        self.stop()
        self._loop.call(self._leave())
        self._loop.close()
        for group in self._groups:
            group.close()
        self._hypervisor.close()

    async def _leave(self) -> None:
        await self._service.drain()
        self._client.close()
        await asyncio.sleep(0)  # the transport closes on the loop
