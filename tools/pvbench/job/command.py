"""`pvbench vbd`, once its options are read: run the jobs, report."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pvdrivers
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.job import run as running
from pvdrivers.tools.pvbench.job.batches import Batch, Convert, make_batches
from pvdrivers.tools.pvbench.job.command_line import (
    CommandLine,
    Section,
    Settings,
    read_command_line,
)
from pvdrivers.tools.pvbench.job.job import Result
from pvdrivers.tools.pvbench.job.job_file import read_job_file
from pvdrivers.tools.pvbench.job.progress import ProgressLine
from pvdrivers.tools.pvbench.job.run_options import RunOptions
from pvdrivers.tools.pvbench.report import fio_json, table, terse
from pvdrivers.tools.pvbench.report.reported import reported
from pvdrivers.tools.pvbench.units import parse_time
from pvdrivers.tools.pvbench.vbd.image import make_image
from pvdrivers.tools.pvbench.vbd.options import check_only_with_rw
from pvdrivers.tools.pvbench.vbd.suite import suite

INTERRUPTED = 130  # the exit code of what Ctrl-C ended


def vbd(
    tokens: Sequence[str], convert: Convert, convert_run: Callable[[Settings], RunOptions]
) -> int:
    """The exit code. Raises OptionError, BenchError, KeyboardInterrupt."""
    line, notes = read_command_line(tokens)
    run = convert_run(line.run)
    for path in line.files:
        line.sections += read_job_file(path, notes)
    for note in dict.fromkeys(notes):
        print(f"pvbench: {note}", file=sys.stderr)
    if run.make_image is not None:
        _use_made_image(run.make_image, line)
    with _report_to(run.output), _batches(line, run, convert) as batches:
        return _run(batches, run)


def _use_made_image(path: Path, line: CommandLine) -> None:
    if any("filename" in section.settings for section in line.sections):
        raise OptionError("--make-image and --filename exclude each other")
    make_image(path)
    line.sections[0].settings["filename"] = str(path)


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


def _batches(
    line: CommandLine, run: RunOptions, convert: Convert
) -> AbstractContextManager[Sequence[Batch]]:
    sections = list(line.sections)
    common = sections[0].settings
    if all(section.common for section in sections):
        if "rw" not in common:
            check_only_with_rw(common)
            options = convert(common)
            _check_cpus(options.cpus, run)
            return suite(options, options.filename, run.make_image is not None)
        sections = [Section(common)]
    if run.section is not None:
        wanted = run.section.split(",")
        sections = [s for s in sections if s.common or s.settings.get("name") in wanted]
        if all(section.common for section in sections):
            raise OptionError(f"--section: there is no job named {run.section}")
    batches = make_batches(sections, convert)
    for job in (job for batch in batches for job in batch):
        _check_cpus(job.cpus, run)
        if run.readonly and (job.writes or job.trims):
            raise OptionError(f"--readonly: {job.name} writes")
    return nullcontext(batches)


def _check_cpus(cpus: tuple[int, int] | None, run: RunOptions) -> None:
    if cpus is not None and not run.processes:
        raise OptionError("--cpus needs --processes")


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


def _run(batches: Sequence[Batch], run: RunOptions) -> int:
    done: list[Result] = []
    observer = running.Observer()
    if run.status_interval is not None:
        observer.status_interval = parse_time("--status-interval", run.status_interval) / 1e9
        if not observer.status_interval:
            raise OptionError("--status-interval: 0 is no interval")
        observer.status = lambda results: _report([*done, *results], run)
    with ProgressLine() as line, _interrupts() as interrupted:
        observer = replace(observer, watch=line, interrupted=interrupted)
        for batch in batches:
            done += running.run_together(batch, run.processes, observer)
            if interrupted.is_set():
                break
    if interrupted.is_set() and not any(result.front.elapsed_ns for result in done):
        return INTERRUPTED
    _report(done, run)
    verdict = max(map(_verdict, done))
    return INTERRUPTED if interrupted.is_set() else verdict


def _report(results: Sequence[Result], run: RunOptions) -> None:
    entries = reported(results)
    for wanted in run.output_format:
        if wanted in ("json", "json+"):
            print(fio_json.encode(entries, pvdrivers.__version__, bins=wanted == "json+"))
        elif wanted == "terse":
            print(terse.lines(entries), end="")
        else:
            table.show(entries)
    sys.stdout.flush()


def _verdict(result: Result) -> int:
    front = result.front
    if front.failure:
        print(f"pvbench: {result.job.name}: {front.failure}", file=sys.stderr)
    if front.verify_errors:
        what = f"{front.verify_errors} blocks are wrong, the first: {front.mismatch}"
        print(f"pvbench: {result.job.name}: {what}", file=sys.stderr)
    return int(bool(front.failure or front.verify_errors))
