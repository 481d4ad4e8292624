"""Runs jobs: for each a machine, a guest, a backend, and what lies between them."""

import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

from pvdrivers.ring.abi import Abi
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.job.job import Job, Progress, Result, Sample
from pvdrivers.tools.pvbench.vbd.back import Back
from pvdrivers.tools.pvbench.vbd.front import Front
from pvdrivers.tools.pvbench.vbd.qemu import QemuBack
from pvdrivers.tools.pvbench.vbd.worker import RemoteBack, RemoteFront
from pvdrivers.tools.pvbench.vbd.xenbus import Xenstore, device_config

INTERVAL = 0.25  # seconds between two looks at the progress
SAMPLE_INTERVAL = 0.5  # seconds, fio's
POOL_PAGES = 1056 + 4096 + 64  # of a queue at most: data, descriptors, ring

AnyFront = Front | RemoteFront
AnyBack = Back | RemoteBack | QemuBack
Watch = Callable[[Job, Progress, float], None]  # the last: seconds since the start


def guest_memory(job: Job) -> int:
    """Bytes the guest needs for its queues, in whole MiB."""
    abi = Abi(job.abi)
    buffers = job.numjobs * job.iodepth * (job.max_bs + abi.page_size) if job.granted_memory else 0
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

    clones = list(zip(before.clones, after.clones, strict=True))
    return Sample(
        iops=[rates(old.ios, new.ios) for old, new in clones],
        bw=[rates(old.bytes, new.bytes) for old, new in clones],
    )


@dataclass
class Observer:
    """Who looks on while jobs run."""

    watch: Watch | None = None  # called now and then
    interrupted: threading.Event = field(default_factory=threading.Event)  # the run ends early
    status_interval: float = math.inf  # seconds between two calls of `status`
    status: Callable[[list[Result]], None] | None = None  # called with the results so far


class Running:
    """A job under way, its halves connected."""

    def __init__(self, job: Job, front: AnyFront, back: AnyBack) -> None:
        self.job, self.front, self.back = job, front, back
        self.samples: list[Sample] = []
        self.started = time.time()
        self.last, self._last_time = front.progress(), time.monotonic()

    def look(self) -> Progress:
        """Raises BenchError when a half has died."""
        progress = self.front.progress()
        if not progress.done:
            self.back.check()
        now = time.monotonic()
        if now - self._last_time >= SAMPLE_INTERVAL:
            if progress.phase == self.last.phase == "run":
                self.samples.append(sample(self.last, progress, now - self._last_time))
            self.last, self._last_time = progress, now
        return progress

    def result(self) -> Result:
        """As it is now."""
        now = self.front.measurement(), self.back.measurement()
        return Result(self.job, self.started, *now, list(self.samples))

    def finish(self) -> Result:
        return Result(self.job, self.started, self.front.finish(), self.back.finish(), self.samples)


def run(job: Job, processes: bool, observer: Observer | None = None) -> Result:
    """Runs a job to its end."""
    return run_together([job], processes, observer)[0]


def run_together(
    jobs: Sequence[Job], processes: bool, observer: Observer | None = None
) -> list[Result]:
    """Runs jobs at once, each a guest of its own with a disk of its own, to the end of all."""
    with ExitStack() as stack:
        running = []
        for job in jobs:
            front, back = stack.enter_context(halves(job, processes))
            connect(front, back)
            running.append(Running(job, front, back))
        return drive(running, observer or Observer())


def drive(running: Sequence[Running], observer: Observer) -> list[Result]:
    """Runs connected halves. The runs begin when all jobs have made ready, laid out their disks and
    the like. Raises BenchError when a half dies."""
    start = time.monotonic()
    next_status = start + observer.status_interval
    waiting = len(running) > 1
    for one in running:
        one.front.start()
        if not waiting:
            one.front.go()
    stopped = False
    while True:
        looks = [one.look() for one in running]
        if all(progress.done for progress in looks):
            return [one.finish() for one in running]
        if waiting and all(progress.phase in ("ready", "done") for progress in looks):
            waiting = False
            for one in running:
                one.front.go()
        now = time.monotonic()
        for one, progress in zip(running, looks, strict=True):
            if observer.watch and not progress.done:
                observer.watch(one.job, progress, now - start)
        if observer.status and now >= next_status:
            next_status += observer.status_interval
            observer.status([one.result() for one in running])
        if observer.interrupted.is_set() and not stopped:
            stopped = True
            for one in running:
                one.front.stop()
        interval = min(INTERVAL, 0.02 + (now - start) / 10)
        if stopped:
            time.sleep(0.02)
        else:
            observer.interrupted.wait(min(interval, max(next_status - now, 0)))
