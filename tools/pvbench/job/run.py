"""Runs jobs: both halves of each are connected, started together, watched and measured."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from pvdrivers.tools.pvbench.job.job import Job
from pvdrivers.tools.pvbench.job.measurement import (
    AnyResult,
    BackMeasurement,
    Progress,
    Result,
    Sample,
)

INTERVAL = 0.25  # seconds between two looks at the progress
SAMPLE_INTERVAL = 0.5  # seconds, fio's
Watch = Callable[[Job, Progress, float], None]  # the last: seconds since the start


class BackHalf(Protocol):
    """The backend's half of a benchmark. Called in this order: open, measurement as often as
    wanted, finish, close. BenchError: it cannot go on."""

    def open(self) -> None:
        """Begins to connect."""

    def check(self) -> None:
        """Raises BenchError when it has ended."""

    def measurement(self) -> BackMeasurement:
        """What it has counted until now."""

    def finish(self) -> BackMeasurement:
        """Ends it; returns what it counted."""

    def close(self) -> None: ...


class FrontHalf(Protocol):
    """The frontend's half: the guest that does I/O and measures it. Called in this order: open,
    connect, start, go once its phase is "ready", progress and measurement as often as wanted,
    finish, close. What it measured is its device class's `FrontMeasurement`."""

    def open(self) -> None:
        """Begins to connect."""

    def connect(self) -> None:
        """Waits until both ends are connected."""

    def start(self) -> None:
        """Makes ready."""

    def go(self) -> None:
        """Begins the run."""

    def progress(self) -> Progress:
        """Where it is now."""

    def stop(self) -> None:
        """Ends the run early; what is outstanding is still answered."""

    def measurement(self) -> Any:
        """What has been measured until now."""

    def finish(self) -> Any:
        """Waits for the end of the run."""

    def close(self) -> None: ...


class OpenHalves(Protocol):
    """Makes both halves of a job on a machine of their own, in threads or in processes."""

    def __call__(
        self, job: Any, processes: bool
    ) -> AbstractContextManager[tuple[FrontHalf, BackHalf]]: ...


def connect(front: FrontHalf, back: BackHalf) -> None:
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
    """What is called while jobs run."""

    watch: Watch | None = None  # called now and then
    interrupted: threading.Event = field(default_factory=threading.Event)  # the run ends early
    status_interval: float = math.inf  # seconds between two calls of `status`
    status: Callable[[list[AnyResult]], None] | None = None  # called with the results so far


class Running:
    """A job under way, its halves connected."""

    def __init__(self, job: Job, front: FrontHalf, back: BackHalf) -> None:
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

    def result(self) -> AnyResult:
        """As it is now."""
        now = self.front.measurement(), self.back.measurement()
        return Result(self.job, self.started, *now, list(self.samples))

    def finish(self) -> AnyResult:
        return Result(self.job, self.started, self.front.finish(), self.back.finish(), self.samples)


def run_together(
    open_halves: OpenHalves,
    jobs: Sequence[Job],
    processes: bool,
    observer: Observer | None = None,
) -> list[AnyResult]:
    """Runs jobs at once, each a guest of its own with a device of its own, to the end of all."""
    with ExitStack() as stack:
        running = []
        for job in jobs:
            front, back = stack.enter_context(open_halves(job, processes))
            connect(front, back)
            running.append(Running(job, front, back))
        return drive(running, observer or Observer())


def drive(running: Sequence[Running], observer: Observer) -> list[AnyResult]:
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
