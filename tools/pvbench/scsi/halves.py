"""Both halves of a SCSI disk's benchmark: a machine, a guest, a backend, and what lies between."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from pvdrivers.ring.abi import Abi
from pvdrivers.tools.pvbench.fio.measurement import Measurement
from pvdrivers.tools.pvbench.job.bench_machine import bench_machine
from pvdrivers.tools.pvbench.job.run import BackHalf, FrontHalf
from pvdrivers.tools.pvbench.scsi import worker
from pvdrivers.tools.pvbench.scsi.back import Back
from pvdrivers.tools.pvbench.scsi.front import Front
from pvdrivers.tools.pvbench.scsi.job import ScsiJob
from pvdrivers.tools.pvbench.scsi.xenbus import device_config

POOL = 8 << 20  # bytes that are granted at most: data, lists of segments, ring


def guest_memory(job: ScsiJob) -> int:
    """Bytes the guest needs for its ring and its data, in whole MiB."""
    page_size = Abi(job.abi).page_size
    buffers = job.numjobs * job.iodepth * (job.max_bs + page_size) if job.granted_memory else 0
    needed = POOL + job.max_length + buffers + (16 << 20)
    return -(-needed // (1 << 20)) << 20


@contextmanager
def open_halves(job: ScsiJob, processes: bool) -> Iterator[tuple[FrontHalf, BackHalf]]:
    """Both halves on a machine of their own, in threads or in processes, with a host between them.

    The backend goes first, so that the frontend gets all its grants back.
    """
    memory = guest_memory(job)
    with bench_machine(memory, worker.__name__ if processes else None) as bench:
        domid = bench.add_guest(job, memory)
        bench.xenstore.add(device_config(domid, bench.backend))
        with (
            closing(bench.front(Front, Measurement, domid, job)) as front,
            closing(bench.back(Back, domid, job)) as back,
        ):
            yield front, back
