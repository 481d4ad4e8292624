"""fio's log files: lines of time (ms), value, direction, block size and, if wanted, offset."""

from collections.abc import Callable, Iterator
from typing import Any

from pvdrivers.tools.pvbench.fio.job import FioJob
from pvdrivers.tools.pvbench.fio.workload import Workload

Value = Callable[[Any], int]

NS_PER_S = 1_000_000_000


def _bandwidth(entry: Any) -> int:
    """KiB a second. That of one operation is by the time it took itself, as with fio."""
    return int(entry.bytes * NS_PER_S // (max(entry.window_ns or entry.clat, 1) * 1024))


def _iops(entry: Any) -> int:
    """fio enters 1 for each operation."""
    return int(entry.ios * NS_PER_S // entry.window_ns) if entry.window_ns else 1


def _files(job: FioJob) -> Iterator[tuple[str, Value]]:
    logs = job.logs
    if logs.bw is not None:
        yield f"{logs.bw}_bw", _bandwidth
    if logs.iops is not None:
        yield f"{logs.iops}_iops", _iops
    if logs.lat is not None:
        yield f"{logs.lat}_lat", lambda entry: int(entry.lat)
        yield f"{logs.lat}_clat", lambda entry: int(entry.clat)
        yield f"{logs.lat}_slat", lambda entry: int(entry.slat)


def _line(entry: Any, value: Value, offsets: bool) -> str:
    size = 0 if entry.window_ns else entry.bytes
    offset = f"{entry.offset}, " if offsets else ""
    # The last is the priority, which rings have not.
    return f"{entry.time_ns // 1_000_000}, {value(entry)}, {entry.direction}, {size}, {offset}0\n"


def write_logs(job: FioJob, workload: Workload) -> None:
    """Writes the files of each clone, `NAME_bw.1.log` and so on. Raises OSError."""
    for clone in range(job.numjobs):
        for name, value in _files(job):
            with open(f"{name}.{job.first_clone + clone}.log", "w") as file:
                file.writelines(
                    _line(entry, value, job.logs.offsets) for entry in workload.log(clone)
                )
