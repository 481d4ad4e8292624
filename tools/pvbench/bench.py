"""Runs one job: a machine, a guest, a backend, and what lies between them."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from pvdrivers.ring.abi import Abi
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.back import Back
from pvdrivers.tools.pvbench.front import Front
from pvdrivers.tools.pvbench.job import Job, Progress, Result, Sample
from pvdrivers.tools.pvbench.qemu import QemuBack
from pvdrivers.tools.pvbench.worker import RemoteBack, RemoteFront
from pvdrivers.tools.pvbench.xenbus import Xenstore, device_config

INTERVAL = 0.25  # seconds between two looks at the progress
SAMPLE_INTERVAL = 0.5  # seconds, fio's
POOL_PAGES = 1056 + 4096 + 64  # of a queue at most: data, descriptors, ring

AnyFront = Front | RemoteFront
AnyBack = Back | RemoteBack | QemuBack
Watch = Callable[[Job, Progress, float], None]  # the last: seconds since the start


def guest_memory(job: Job) -> int:
    """Bytes the guest needs for its queues, in whole MiB."""
    abi = Abi(job.abi)
    buffers = job.numjobs * job.iodepth * (job.bs + abi.page_size) if job.granted_memory else 0
    needed = job.queues * POOL_PAGES * abi.page_size + buffers + (16 << 20)
    return -(-needed // (1 << 20)) << 20


@contextmanager
def halves(job: Job, processes: bool) -> Iterator[tuple[AnyFront, AnyBack]]:
    """Both halves on a machine of their own, in threads or in processes, with a disk between them.

    The backend goes first, so that the frontend gets all its grants back.
    """
    memory = guest_memory(job)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pvbench-"))
        sockets = os.path.join(folder, "machine"), os.path.join(folder, "xenstore")
        machine = stack.enter_context(Machine(memory + (64 << 20)))
        xenstore = stack.enter_context(closing(Xenstore(sockets[1])))
        back_domid = machine.create_domain(memory="16M", privileged=True).domid
        front_domid = machine.create_domain(abi=Abi(job.abi), memory=memory).domid
        xenstore.add(device_config(job, front_domid, back_domid))
        front: AnyFront
        back: AnyBack
        qemu = job.backend == "qemu"
        if processes or qemu:
            machine.serve(sockets[0])
        if processes:
            front = RemoteFront(sockets, front_domid, back_domid, job)
        else:
            front = Front(machine, front_domid, back_domid, job, sockets[1])
        stack.enter_context(closing(front))
        if qemu:
            back = QemuBack(sockets, front_domid)
        elif processes:
            back = RemoteBack(sockets, back_domid, front_domid, job)
        else:
            back = Back(machine, back_domid, front_domid, job, sockets[1])
        stack.enter_context(closing(back))
        yield front, back


def connect(front: AnyFront, back: AnyBack) -> None:
    """Brings both halves to Connected, by way of xenstore."""
    back.open()
    front.open()
    front.connect()


def sample(before: Progress, after: Progress, seconds: float) -> Sample:
    def rates(old: list[int], new: list[int]) -> list[float]:
        return [(b - a) / seconds for a, b in zip(old, new, strict=True)]

    return Sample(seconds, rates(before.ios, after.ios), rates(before.bytes, after.bytes))


def run(job: Job, processes: bool, watch: Watch | None = None) -> Result:
    """Runs a job to its end; `watch` is called now and then meanwhile."""
    with halves(job, processes) as (front, back):
        connect(front, back)
        return drive(job, front, back, watch)


def drive(job: Job, front: AnyFront, back: AnyBack, watch: Watch | None) -> Result:
    """Runs two connected halves. Raises BenchError when one of them dies."""
    started, start = time.time(), time.monotonic()
    front.start()
    samples: list[Sample] = []
    last, last_time = front.progress(), start
    while not (progress := front.progress()).done:
        back.check()
        now = time.monotonic()
        if now - last_time >= SAMPLE_INTERVAL:
            if progress.phase == last.phase == "run":
                samples.append(sample(last, progress, now - last_time))
            last, last_time = progress, now
        if watch:
            watch(job, progress, now - start)
        time.sleep(min(INTERVAL, 0.02 + (now - start) / 10))
    return Result(job, started, front.finish(), back.finish(), samples)
