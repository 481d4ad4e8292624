"""The frontend's half of a benchmark: the guest that does I/O and measures it."""

import threading
from collections import Counter
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import SECTOR, Abi
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.fio.measurement import Clone, Direction, Measurement
from pvdrivers.tools.pvbench.job.counters import counters, difference
from pvdrivers.tools.pvbench.job.latency import Latency
from pvdrivers.tools.pvbench.job.measurement import Counts, Progress
from pvdrivers.tools.pvbench.job.xenstore import Loop
from pvdrivers.tools.pvbench.vbd.job import VbdJob
from pvdrivers.tools.pvbench.vbd.logs import write_logs
from pvdrivers.tools.pvbench.vbd.workload import Workload
from pvdrivers.tools.pvbench.vbd.xenbus import DrivenFrontend, device_config
from pvdrivers.vbd.features import DeviceInfo, FrontendFeatures
from pvdrivers.xenstore.client import XenstoreClient

DISTRIBUTIONS = {
    "random": lib.PV_BLK_UNIFORM,
    "zipf": lib.PV_BLK_ZIPF,
    "pareto": lib.PV_BLK_PARETO,
}


class Front:
    """Queues of one device and the workload on them.

    The calls come in this order: open, connect, start, go once its phase is "ready", progress and
    measurement as often as wanted, finish, close.
    The workload runs in a thread of its own.
    """

    def __init__(
        self, machine: Machine, domid: int, backend: int, job: VbdJob, xenstore: str
    ) -> None:
        self._machine, self._domid, self._backend, self._job = machine, domid, backend, job
        self._hypervisor = machine.open_hypervisor(domid)
        self._xenstore = xenstore
        self._loop = Loop()
        self._device: DrivenFrontend | None = None
        self._queues: list[Any] = []
        self._workload: Workload | None = None
        self._phase = "idle"
        self._failure: str | None = None
        self._before: dict[str, dict[str, int]] = {}
        self._costs: dict[str, dict[str, int]] = {}
        self._go = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pvbench front", daemon=True)

    def open(self) -> None:
        """Begins to connect."""
        self._loop.call(self._open())

    async def _open(self) -> None:
        job = self._job
        features = FrontendFeatures(
            protocol=Abi(job.abi).protocol,
            persistent=job.persistent,
            max_indirect_segments=job.indirect,
            max_ring_page_order=job.ring_page_order,
            max_queues=job.queues,
        )
        client = await XenstoreClient.connect(self._xenstore)
        path = device_config(job, self._domid, self._backend).frontend_path
        self._device = DrivenFrontend(client, path, self._hypervisor, features)
        self._device.leave = self._leave
        self._device.buffer_pages = self._buffer_pages() if job.granted_memory else 0
        self._device.start()

    def _buffer_pages(self) -> int:
        pages = -(-self._job.max_bs // self._hypervisor.page_size)
        return pages * -(-self._job.iodepth * self._job.numjobs // self._job.queues)

    def connect(self) -> None:
        """Waits until both ends are connected."""
        assert self._device
        info = self._loop.call(self._device.connected())
        self._queues = [queue.pointer for queue in self._device.queues]
        if len(self._queues) != self._job.queues:
            raise BenchError(f"the backend has {len(self._queues)} queues at most")
        self._workload = self._create_workload(info)

    def _create_workload(self, info: DeviceInfo) -> Workload:
        job = self._job
        room = info.sectors * SECTOR - job.offset
        size = min(job.size or room, room) // job.bs * job.bs
        assert self._device
        return Workload(
            [self._device],
            job.mode,
            jobs=job.numjobs,
            iodepth=job.iodepth,
            block_size=job.bs,
            sizes=[
                {"min": s.min, "max": s.max, "nr_shares": len(s.shares), "shares": s.shares}
                for s in job.sizes
            ],
            random=job.random,
            random_map=job.random_map,
            distribution=DISTRIBUTIONS[job.distribution],
            theta=job.theta,
            io_size=(job.io_size or size) * job.loops,
            rate=job.pace.rate,
            rate_iops=job.pace.rate_iops,
            thinktime_ns=job.pace.thinktime_ns,
            thinktime_blocks=job.pace.thinktime_blocks,
            log=job.logs.wanted,
            log_window_ns=job.logs.window_ns,
            trim=job.trims,
            read_percent=job.read_percent,
            offset=job.offset,
            size=size,
            time_based=job.time_based,
            runtime_ns=job.runtime_ns,
            ramp_ns=job.ramp_ns,
            fsync=job.fsync,
            seed=job.randseed + job.first_clone - 1,
            verify=job.verify,
            in_place=job.granted_memory,
        )

    # ---- running

    def start(self) -> None:
        """Begins what comes before the run."""
        self._thread.start()

    def go(self) -> None:
        """Begins the run."""
        self._go.set()

    def _work(self) -> None:
        assert self._workload
        try:
            self._prepare(self._workload)
            self._phase = "ready"
            self._go.wait()
            self._phase = "run"
            self._count(self._before)
            self._workload.run()
            self._count(self._costs)
            if self._job.verify and self._job.writes:
                self._phase = "verify"
                self._workload.verify()
        except (BenchError, OSError) as error:
            self._failure = str(error)
        self._phase = "done"

    def _prepare(self, workload: Workload) -> None:
        """Makes the content of what is going to be read known."""
        job = self._job
        if job.verify and job.expect_content:
            assert job.store.path
            self._phase = "read image"
            workload.expect(job.store.path)
        elif job.reads and (job.verify or job.store.kind == "ram"):
            self._phase = "layout"
            workload.layout()

    def _count(self, counts: dict[str, dict[str, int]]) -> None:
        counts["front"] = self._stats()
        counts["front accounts"] = self._machine.domain(self._domid).accounts
        counts["back accounts"] = self._machine.domain(self._backend).accounts

    def _stats(self) -> dict[str, int]:
        total: Counter[str] = Counter()
        stats = ffi.new("struct pv_blkfront_stats *")
        for queue in self._queues:
            lib.pv_blkfront_get_stats(queue, stats)
            total.update(counters(stats))
        return dict(total)

    def progress(self) -> Progress:
        assert self._workload
        done = not self._thread.is_alive()
        clones = [self._workload.progress(clone) for clone in range(self._job.numjobs)]
        return Progress(self._phase, done, [Counts(list(c.ios), list(c.bytes)) for c in clones])

    def stop(self) -> None:
        """Ends the run early; what is outstanding is still answered."""
        if self._workload:
            self._workload.stop()
        self._go.set()

    def finish(self) -> Measurement:
        """Waits for the workload's end."""
        assert self._workload
        self._thread.join()
        write_logs(self._job, self._workload)
        return self.measurement()

    def measurement(self) -> Measurement:
        """What has been measured until now."""
        assert self._workload
        numjobs = self._job.numjobs
        result, jobs = self._workload.copy(lambda: self._phase in ("run", "verify"))
        before, now = dict(self._before), dict(self._costs)
        if not now:
            self._count(now)
        costs = {kind: difference(now[kind], before.get(kind, now[kind])) for kind in now}
        return Measurement(
            clones=[_clone(result, jobs[clone]) for clone in range(numjobs)],
            user_ns=result.user_ns,
            system_ns=result.system_ns,
            context_switches=result.context_switches,
            major_faults=result.major_faults,
            minor_faults=result.minor_faults,
            depth_submit=list(result.depth_submit),
            depth_complete=list(result.depth_complete),
            sleeps=result.sleeps,
            verified=result.verified,
            verify_errors=result.verify_errors,
            mismatch=_describe_mismatch(result) if result.verify_errors else None,
            error=-result.first_error,
            failure=self._failure,
            front=costs["front"],
            front_accounts=costs["front accounts"],
            back_accounts=costs["back accounts"],
        )

    def _leave(self) -> None:
        self.stop()
        if self._thread.is_alive():
            self._thread.join()

    def close(self) -> None:
        if self._device:
            self._loop.call(self._device.abort())
        self._loop.close()
        if self._workload:
            self._workload.close()
        self._hypervisor.close()


def _clone(result: Any, job: Any) -> Clone:
    return Clone(
        elapsed_ns=result.elapsed_ns,
        directions=[
            Direction(d.ios, d.bytes, Latency.of(d.slat), Latency.of(d.clat), Latency.of(d.lat))
            for d in job.direction
        ],
        syncs=job.syncs,
        sync_lat=Latency.of(job.sync_lat),
        depth_level=list(job.depth_level),
    )


def _describe_mismatch(result: Any) -> str:
    mismatch = result.mismatch
    what = f"crc32c {mismatch.found_crc:08x} instead of {mismatch.expected_crc:08x}"
    if mismatch.is_ours:
        what += f": write {mismatch.found_sequence} to offset {mismatch.found_offset} is there"
    return f"offset {mismatch.offset} has {what}"
