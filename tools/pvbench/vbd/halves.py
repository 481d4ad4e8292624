"""Both halves of a disk's benchmark: a machine, a guest, a backend, and what lies between them."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from pvdrivers.ring.abi import Abi
from pvdrivers.tools.pvbench.fio.measurement import Measurement
from pvdrivers.tools.pvbench.job.bench_machine import BenchMachine, bench_machine
from pvdrivers.tools.pvbench.job.run import BackHalf, FrontHalf
from pvdrivers.tools.pvbench.vbd import worker
from pvdrivers.tools.pvbench.vbd.back import Back
from pvdrivers.tools.pvbench.vbd.front import Front
from pvdrivers.tools.pvbench.vbd.job import VbdJob
from pvdrivers.tools.pvbench.vbd.qemu import QemuBack
from pvdrivers.tools.pvbench.vbd.xenbus import device_config

POOL_PAGES = 1056 + 4096 + 64  # of a queue at most: data, descriptors, ring


def guest_memory(job: VbdJob) -> int:
    """Bytes the guest needs for its queues, in whole MiB."""
    abi = Abi(job.abi)
    buffers = job.numjobs * job.iodepth * (job.max_bs + abi.page_size) if job.granted_memory else 0
    needed = job.queues * POOL_PAGES * abi.page_size + buffers + (16 << 20)
    return -(-needed // (1 << 20)) << 20


@contextmanager
def open_halves(job: VbdJob, processes: bool) -> Iterator[tuple[FrontHalf, BackHalf]]:
    """Both halves on a machine of their own, in threads or in processes, with a disk between them.

    The backend goes first, so that the frontend gets all its grants back.
    """
    memory = guest_memory(job)
    module = worker.__name__ if processes else None
    with bench_machine(memory, module, served=job.backend == "qemu") as bench:
        domid = bench.add_guest(job, memory)
        bench.xenstore.add(device_config(job, domid, bench.backend))
        with (
            closing(bench.front(Front, Measurement, domid, job)) as front,
            closing(_back(bench, domid, job)) as back,
        ):
            yield front, back


def _back(bench: BenchMachine, frontend: int, job: VbdJob) -> BackHalf:
    if job.backend == "qemu":
        return QemuBack(bench.sockets, frontend)
    return bench.back(Back, frontend, job)
