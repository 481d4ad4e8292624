"""The guests' process: all their frontends, and threads that do I/O through some of them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing

from pvdrivers.hypervisor import Hypervisor
from pvdrivers.tools.pvbench.fio.workload import Workload
from pvdrivers.tools.pvbench.scale.guest_process import RAMP_NS, GuestProcess
from pvdrivers.tools.pvbench.scale.processors import pin_thread
from pvdrivers.tools.pvbench.scale.spec import NAMES, Activity, ScaleSpec
from pvdrivers.tools.pvbench.vbd.xenbus import DrivenFrontend
from pvdrivers.vbd.config import disk_config
from pvdrivers.vbd.features import FrontendFeatures
from pvdrivers.xenstore.client import XenstoreClient

SEGMENTS = 32  # of an indirect request, Linux' default


class Guest:
    """One domain's disks."""

    def __init__(self, hypervisor: Hypervisor, client: XenstoreClient, spec: ScaleSpec) -> None:
        self._hypervisor, self._client = hypervisor, client
        features = FrontendFeatures(max_indirect_segments=SEGMENTS, max_ring_page_order=0)
        self.disks: list[DrivenFrontend] = []
        for name in NAMES[: spec.disks]:
            path = disk_config(name, hypervisor.domid).frontend_path
            disk = DrivenFrontend(client, path, hypervisor, features)
            disk.leave = lambda: None  # no I/O outlives a call
            disk.buffer_pages = spec.iodepth * -(-spec.block_size // hypervisor.page_size)
            self.disks.append(disk)
        self.written = False  # every block of its disks

    async def connect(self) -> None:
        """One after the other, so that the backend's threads have their shares in this order."""
        for disk in self.disks:
            disk.start()
            await disk.connected()

    def answered(self) -> int:
        return sum(disk.statistics()["responses"] for disk in self.disks)

    async def close(self) -> None:
        for disk in self.disks:
            await disk.abort()
        self._client.close()
        self._hypervisor.close()


class Frontends(GuestProcess[Guest]):
    def _guest(self, hypervisor: Hypervisor, client: XenstoreClient) -> Guest:
        return Guest(hypervisor, client, self._spec)

    def run(self, active: int, seconds: float, size: int) -> Activity:
        """Random reads by the first `active` guests."""
        guests = self._guests[:active]
        for guest in guests:
            self._write(guest)
        before = [guest.answered() for guest in guests]
        parts = self._parts(guests)
        cpus = self._spec.front_cpus or (None,)
        with ThreadPoolExecutor(len(parts)) as pool:
            runs = pool.map(lambda cpu, disks: self._read(cpu, disks, seconds, size), cpus, parts)
            rate = sum(runs)
        after = [guest.answered() for guest in guests]
        return Activity(rate, [b - a for a, b in zip(before, after, strict=True)])

    def _parts(self, guests: Sequence[Guest]) -> list[list[DrivenFrontend]]:
        """The disks each thread drives."""
        count = len(self._spec.front_cpus) or 1
        return [[d for guest in guests for d in guest.disks[i::count]] for i in range(count)]

    def _write(self, guest: Guest) -> None:
        for disk in () if guest.written else guest.disks:
            with self._workload([disk], 0, self._spec.block_size) as workload:
                workload.layout()
        guest.written = True

    def _read(
        self, cpu: int | None, disks: Sequence[DrivenFrontend], seconds: float, block_size: int
    ) -> float:
        """Operations a second."""
        pin_thread(cpu, self._spec.shared)
        with self._workload(disks, seconds, block_size) as workload:
            workload.run()
            ios = sum(direction.ios for direction in workload.job_result().direction)
            return float(ios * 1e9 / workload.result().elapsed_ns)

    def _workload(
        self, disks: Sequence[DrivenFrontend], seconds: float, block_size: int
    ) -> AbstractContextManager[Workload]:
        spec = self._spec
        return closing(
            Workload(
                disks,
                "event" if spec.mode == "event" else "poll",
                jobs=1,
                iodepth=spec.iodepth * len(disks),
                block_size=block_size,
                random=True,
                read_percent=100,
                size=spec.disk_size,
                time_based=seconds > 0,
                runtime_ns=int(seconds * 1e9),
                ramp_ns=RAMP_NS,
                seed=1,
                in_place=True,
            )
        )
