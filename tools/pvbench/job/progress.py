"""The line a terminal shows while a workload runs."""

from typing import Self

from rich.console import Console
from rich.status import Status

from pvdrivers.tools.pvbench.job.job import Job
from pvdrivers.tools.pvbench.job.measurement import Progress


class ProgressLine:
    """Shows on standard error where a benchmark is; nothing when that is no terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._status = Status("starting", console=console) if console.is_terminal else None
        self._last = (0.0, 0, 0)  # seconds, operations, bytes

    def __call__(self, job: Job, progress: Progress, seconds: float) -> None:
        if self._status is None:
            return
        now = (seconds, sum(progress.ios), sum(progress.bytes))
        since = now[0] - self._last[0]
        text = f"{job.name}: {progress.phase}"
        if progress.phase == "run" and since > 0 and now[1] >= self._last[1]:
            iops = (now[1] - self._last[1]) / since
            rate = (now[2] - self._last[2]) / since / 1e6
            text += f", {iops:,.0f} {job.unit}, {rate:,.0f} MB/s"
        limit = (job.ramp_ns + job.runtime_ns) / 1e9
        text += f", {seconds:.1f} of {limit:g} s" if limit else f", {seconds:.1f} s"
        self._last = now
        self._status.update(text)

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._status:
            self._status.stop()
