"""Results as fio's terse lines, version 3: a line for each entry, its fields separated by `;`."""

from collections.abc import Iterator, Sequence

from pvdrivers.tools.pvbench.fio.json import (
    FORMAT_VERSION,
    latency_shares,
    shares_of_depth,
    spread,
)
from pvdrivers.tools.pvbench.fio.measurement import Direction, FioResult
from pvdrivers.tools.pvbench.job.latency import Latency

VERSION = "3"
PERCENTILES = 20  # fields for them


def _us(latency: Latency) -> list[str]:
    moments = f"{latency.mean / 1000:.6f}", f"{latency.stddev / 1000:.6f}"
    return [str(latency.min // 1000), str(latency.max // 1000), *moments]


def _percentiles(latency: Latency, wanted: Sequence[float]) -> Iterator[str]:
    for percent in wanted:
        yield f"{percent:.6f}%={latency.percentile(percent) // 1000}"
    for _ in range(PERCENTILES - len(wanted)):
        yield "0%=0"


def _direction(direction: Direction, index: int, result: FioResult) -> list[str]:
    seconds = result.front.elapsed_ns / 1e9 if direction.ios else 0.0
    rate = direction.bytes / seconds / 1024 if seconds else 0.0
    iops = direction.ios / seconds if seconds else 0.0
    reporting = result.job.reporting
    bw = spread("bw", [sum(s.bw[i][index] for i in range(len(s.bw))) for s in result.samples], 1024)
    return [
        str(direction.bytes // 1024),
        str(int(rate)),
        str(int(iops)),
        str(result.front.elapsed_ns // 1_000_000 if direction.ios else 0),
        *_us(direction.slat),
        *_us(direction.clat),
        *_percentiles(direction.clat, result.job.percentiles if reporting.clat else ()),
        *_us(direction.lat),
        str(bw["bw_min"]),
        str(bw["bw_max"]),
        "100.000000%" if bw["bw_samples"] else "0.000000%",
        f"{bw['bw_mean']:.6f}",
        f"{bw['bw_dev']:.6f}",
    ]


def _fields(result: FioResult) -> Iterator[str]:
    front, job = result.front, result.job
    yield from (VERSION, FORMAT_VERSION, job.name, str(job.reporting.groupid), str(front.error))
    directions = front.directions
    for index in range(2 if not directions[2].ios else 3):
        yield from _direction(directions[index], index, result)
    runtime = sum(clone.elapsed_ns for clone in front.clones) or 1
    yield f"{100 * front.user_ns / runtime:.6f}%"
    yield f"{100 * front.system_ns / runtime:.6f}%"
    yield from map(str, (front.context_switches, front.major_faults, front.minor_faults))
    yield from (f"{share:.1f}%" for share in shares_of_depth(front).values())
    shares = latency_shares(front)
    for unit in ("us", "ms"):
        yield from (f"{share:.2f}%" for share in shares[f"latency_{unit}"].values())


def lines(entries: Sequence[FioResult]) -> str:
    return "".join(";".join(_fields(entry)) + "\n" for entry in entries)
