"""The frontend's half of a benchmark of a disk: the guest that does I/O and measures it."""

from abc import abstractmethod
from typing import Any, Protocol, TypeVar

from pvdrivers._core import lib
from pvdrivers.tools.pvbench.fio.job import FioJob
from pvdrivers.tools.pvbench.fio.logs import write_logs
from pvdrivers.tools.pvbench.fio.measurement import Clone, Direction, Measurement
from pvdrivers.tools.pvbench.fio.workload import LoadedDevice, Workload
from pvdrivers.tools.pvbench.job.latency import Latency
from pvdrivers.tools.pvbench.job.measurement import Counts, Progress
from pvdrivers.tools.pvbench.job.workload_front import Device, WorkloadFront

DISTRIBUTIONS = {
    "random": lib.PV_BLK_UNIFORM,
    "zipf": lib.PV_BLK_ZIPF,
    "pareto": lib.PV_BLK_PARETO,
}


class Disk(Device, LoadedDevice, Protocol):
    """What a workload needs of a device."""


AnyFioJob = TypeVar("AnyFioJob", bound=FioJob)
AnyDisk = TypeVar("AnyDisk", bound=Disk)


class FioFront(WorkloadFront[AnyFioJob, AnyDisk, Workload]):
    """A class adds `_make_device` and `_size`."""

    @abstractmethod
    def _size(self, info: Any) -> int:
        """Bytes of the disk. `info`: what the device's `connected` has returned."""

    def _buffer_pages(self) -> int:
        """Of each queue, for the data that are in granted memory."""
        job = self._job
        if not job.granted_memory:
            return 0
        pages = -(-job.max_bs // self._hypervisor.page_size)
        return pages * -(-job.iodepth * job.numjobs // job.queues)

    def _make_workload(self, device: AnyDisk, info: Any) -> Workload:
        job = self._job
        room = self._size(info) - job.offset
        size = min(job.size or room, room) // job.bs * job.bs
        return Workload(
            [device],
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

    def _check(self, workload: Workload) -> None:
        if self._job.verify and self._job.writes:
            self._phase = "verify"
            workload.verify()

    def progress(self) -> Progress:
        assert self._workload
        done = not self._thread.is_alive()
        clones = [self._workload.progress(clone) for clone in range(self._job.numjobs)]
        return Progress(self._phase, done, [Counts(list(c.ios), list(c.bytes)) for c in clones])

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
            **self._costs_so_far(),
        )


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
