"""Benchmarks of paravirtual devices on a simulated machine."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

import pvdrivers
from pvdrivers.ring.errors import PeerError
from pvdrivers.tools.pvbench import bench, fio_json, table
from pvdrivers.tools.pvbench.compare.command import compare
from pvdrivers.tools.pvbench.errors import BenchError, OptionError
from pvdrivers.tools.pvbench.image import make_image as make_image_file
from pvdrivers.tools.pvbench.job import RW, Backend, Job, Mode, Result, StoreKind
from pvdrivers.tools.pvbench.options import AbiName, Memory, Options, Verify, check_only_with_rw
from pvdrivers.tools.pvbench.progress import ProgressLine
from pvdrivers.tools.pvbench.suite import suite

Format = Literal["normal", "json", "json+normal"]

app = App(name="pvbench", help=__doc__, version=pvdrivers.__version__)

app.command(compare)


def _alias(*names: str) -> Parameter:
    return Parameter(name=[f"--{name}" for name in names])


@app.command
def vbd(
    *,
    rw: RW | None = None,
    bs: str | None = None,
    iodepth: int | None = None,
    numjobs: int | None = None,
    size: str | None = None,
    offset: str | None = None,
    runtime: str | None = None,
    ramp_time: Annotated[str | None, _alias("ramp_time", "ramp-time")] = None,
    time_based: Annotated[bool | None, _alias("time_based", "time-based")] = None,
    rwmixread: int | None = None,
    fsync: int | None = None,
    randseed: int | None = None,
    verify: Verify | None = None,
    filename: Path | None = None,
    make_image: Path | None = None,
    store: StoreKind | None = None,
    direct: bool | None = None,
    abi: AbiName | None = None,
    queues: int | None = None,
    ring_page_order: int | None = None,
    persistent: bool | None = None,
    indirect: int | None = None,
    trusted: bool | None = None,
    mode: Mode | None = None,
    backend: Backend | None = None,
    mem: Memory | None = None,
    cpus: tuple[int, int] | None = None,
    name: str | None = None,
    processes: bool = False,
    output_format: Format = "normal",
    output: Path | None = None,
) -> int:
    """Measures a block device: a guest's blkfront, a ring, a backend and its store.

    Names, units and defaults are fio's. Without --rw a set of workloads runs, on the image if one
    is named.

    Parameters
    ----------
    rw
        The kind of I/O.
    bs
        Bytes of one operation, such as 4k.
    iodepth
        Operations outstanding per job.
    numjobs
        Jobs with iodepth operations each; one thread drives all of them.
    size
        Bytes of the device that are used; each job ends after so many unless --time_based.
    offset
        Where on the device they start.
    runtime
        The longest time, in seconds unless a suffix (ms, s, m, h) says otherwise.
    ramp_time
        Time before the measured run.
    time_based
        Run for the whole --runtime.
    rwmixread
        Percentage of reads in a mixed workload.
    fsync
        A flush after so many writes.
    randseed
        The seed of everything random.
    verify
        Check all content: writes are read back, reads of an image compare with the file.
    filename
        An image file or a block device for the backend. Writing workloads overwrite it; without
        --rw it is only read, and what writes works on a copy of its first 256 MiB.
    make_image
        Make an image there first, overwriting what is there: an ext4 file system with mke2fs,
        random bytes where that is missing.
    store
        Where the backend's sectors live.
    direct
        Open the image with O_DIRECT.
    abi
        The guest's ABI; ia64 has pages of 16 KiB.
    queues
        Rings of the device.
    ring_page_order
        Pages of a ring, as a power of two.
    persistent
        Persistent grants.
    indirect
        Segments in an indirect request at most; 0 for none.
    trusted
        Whether the guest trusts the backend; if not, only zeroed pages are granted.
    mode
        How both sides wait: spinning, spinning while that pays off, or sleeping at once.
    backend
        Who serves the disk: our blkback, or QEMU (Debian package qemu-system-xen) from a file.
    mem
        Where the guest's data is: in memory of its own, copied to and from granted pages, or in
        the granted pages.
    cpus
        With --processes, the processor of the frontend's process and of the backend's.
    name
        The job's name in the report.
    processes
        Frontend and backend in a process each, instead of a thread each.
    output_format
        A table, fio's JSON, or both.
    output
        Write the report to this file instead of standard output.
    """
    given = {option: value for option, value in locals().items() if value is not None}
    if rw is None:
        check_only_with_rw(given)
    if cpus is not None and not processes:
        raise OptionError("--cpus needs --processes")
    for no_job_option in ("make_image", "processes", "output_format", "output"):
        given.pop(no_job_option, None)
    if make_image is not None:
        if filename is not None:
            raise OptionError("--make-image and --filename exclude each other")
        make_image_file(make_image)
        given["filename"] = make_image
    shown = {option: str(value) for option, value in given.items()}
    options = Options(**given, given=shown)
    with _report_to(output), _jobs(options, made=make_image is not None) as jobs:
        results = _run_all(jobs, processes)
        _report(results, output_format)
    return max(map(_verdict, results))


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


def _jobs(options: Options, made: bool) -> AbstractContextManager[Sequence[Job]]:
    if "rw" in options.given:
        # Only what has not been written yet has a content that is known beforehand.
        known = options.filename is not None and options.verify is not None
        return nullcontext([options.job(expect_content=known)])
    return suite(options, options.filename, made)


def _run_all(jobs: Sequence[Job], processes: bool) -> list[Result]:
    results = []
    with ProgressLine() as line:
        for job in jobs:
            results.append(bench.run(job, processes, line))
    return results


def _report(results: Sequence[Result], output_format: Format) -> None:
    if "json" in output_format:
        print(fio_json.encode(results, pvdrivers.__version__))
    if "normal" in output_format:
        table.show(results)


def _verdict(result: Result) -> int:
    front = result.front
    if front.failure:
        print(f"pvbench: {result.job.name}: {front.failure}", file=sys.stderr)
    if front.verify_errors:
        what = f"{front.verify_errors} blocks are wrong, the first: {front.mismatch}"
        print(f"pvbench: {result.job.name}: {what}", file=sys.stderr)
    return int(bool(front.failure or front.verify_errors))


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 for a failed benchmark, 2 for an option or image that is no good."""
    try:
        code: Any = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        print(f"pvbench: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OptionError as error:
        print(f"pvbench: {error}", file=sys.stderr)
        return 2
    except (BenchError, PeerError, OSError) as error:
        print(f"pvbench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code if isinstance(code, int) else 0


def main() -> None:
    sys.exit(run())


if __name__ == "__main__":
    main()
