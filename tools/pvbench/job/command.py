"""A command such as `pvbench vbd`, once its options are read: runs the jobs and reports."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path

from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.job import run as running
from pvdrivers.tools.pvbench.job.batches import Convert, JobBatch
from pvdrivers.tools.pvbench.job.command_line import (
    Settings,
    read_command_line,
)
from pvdrivers.tools.pvbench.job.device_bench import DeviceBench
from pvdrivers.tools.pvbench.job.job_file import read_job_file
from pvdrivers.tools.pvbench.job.measurement import AnyResult
from pvdrivers.tools.pvbench.job.progress import ProgressLine
from pvdrivers.tools.pvbench.job.run_options import RunOptions
from pvdrivers.tools.pvbench.units import parse_time

INTERRUPTED = 130  # the exit code of what Ctrl-C ended


def measure(
    bench: DeviceBench,
    tokens: Sequence[str],
    convert: Convert,
    convert_run: Callable[[Settings], RunOptions],
) -> int:
    """The exit code. Raises OptionError, BenchError, KeyboardInterrupt."""
    line, notes = read_command_line(tokens, bench.options)
    run = convert_run(line.run)
    for path in line.files:
        line.sections += read_job_file(path, bench.options, notes)
    for note in dict.fromkeys(notes):
        print(f"pvbench: {note}", file=sys.stderr)
    for wanted in run.output_format:
        if wanted not in bench.formats:
            allowed = ", ".join(bench.formats)
            raise OptionError(f"--output_format: {wanted!r} is none of {allowed}")
    with _report_to(run.output):
        if bench.run_without_jobs(line, run, convert):
            return 0
        with bench.batches(line, run, convert) as batches:
            return _run(bench, batches, run)


@contextmanager
def _report_to(output: Path | None) -> Iterator[None]:
    if output is None:
        yield
        return
    try:
        file = output.open("w")
    except OSError as error:
        raise OptionError(f"{output} cannot be written: {error.strerror}") from None
    with file, redirect_stdout(file):
        yield


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C; the next one is a KeyboardInterrupt again. As a flag, it breaks into
    no exchange with another process."""
    interrupted = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        interrupted.set()

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _run(bench: DeviceBench, batches: Sequence[JobBatch], run: RunOptions) -> int:
    done: list[AnyResult] = []
    observer = running.Observer()
    if run.status_interval is not None:
        observer.status_interval = parse_time("--status-interval", run.status_interval) / 1e9
        if not observer.status_interval:
            raise OptionError("--status-interval: 0 is no interval")
        observer.status = lambda results: _report(bench, [*done, *results], run)
    with ProgressLine() as line, _interrupts() as interrupted:
        observer = replace(observer, watch=line, interrupted=interrupted)
        for batch in batches:
            done += running.run_together(bench.open_halves, batch, run.processes, observer)
            if interrupted.is_set():
                break
    if interrupted.is_set() and not any(result.front.elapsed_ns for result in done):
        return INTERRUPTED
    _report(bench, done, run)
    verdict = max(_verdict(bench, result) for result in done)
    return INTERRUPTED if interrupted.is_set() else verdict


def _report(bench: DeviceBench, results: Sequence[AnyResult], run: RunOptions) -> None:
    for wanted in run.output_format:
        print(bench.report(results, wanted), end="")
    sys.stdout.flush()


def _verdict(bench: DeviceBench, result: AnyResult) -> int:
    complaints = bench.complaints(result)
    for complaint in complaints:
        print(f"pvbench: {result.job.name}: {complaint}", file=sys.stderr)
    return int(bool(complaints))
