"""What came out of a scenario, as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from rich import box
from rich.table import Table

from pvdrivers.sim.scheduler import SchedStats
from pvdrivers.tools.pvsim.scenario import GuestSection

PERCENTILES = (50, 90, 99, 99.9)


@dataclass(frozen=True, slots=True)
class GuestResult:
    name: str
    section: GuestSection
    cpus: float  # that it had, on average
    steal: float  # CPUs that it waited for, on average
    latencies: Sequence[int]  # ns, ascending


@dataclass(frozen=True, slots=True)
class Result:
    cpus: int
    ns: int
    idle: float  # part of all CPU time
    stats: SchedStats
    guests: Sequence[GuestResult]


def percentile(latencies: Sequence[int], percent: float) -> int | None:
    """ns that so many percent of the requests took at most; None: there were none. `latencies`
    ascend."""
    if not latencies:
        return None
    return latencies[math.ceil(len(latencies) * percent / 100) - 1]


def to_json(result: Result) -> dict[str, Any]:
    """Times in ns. `cpu` and `steal`: CPUs on average; 1 is one CPU all the time."""
    return {
        "cpus": result.cpus,
        "time": result.ns,
        "idle": result.idle,
        "scheduler": asdict(result.stats),
        "guests": [
            {
                "name": guest.name,
                "weight": guest.section.weight,
                "cap": guest.section.cap,
                "vcpus": guest.section.vcpus,
                "cpu": guest.cpus,
                "steal": guest.steal,
                "requests": len(guest.latencies),
                "latency": {
                    f"p{percent:g}": percentile(guest.latencies, percent) for percent in PERCENTILES
                },
            }
            for guest in result.guests
        ],
    }


def _percent(values: Iterable[float]) -> str:
    low, high = min(values := list(values)), max(values)
    return f"{low:.1%}" if high - low < 0.0005 else f"{low:.1%} to {high:.1%}"


def _time(ns: int | None) -> str:
    if ns is None:
        return "-"
    for unit, scale in (("s", 10**9), ("ms", 10**6), ("µs", 1000)):
        if ns >= scale:
            return f"{ns / scale:.3g} {unit}"
    return f"{ns} ns"


def table(result: Result) -> Table:
    """A row for each [[guest]] of the scenario; the latencies are those of all its guests."""
    table = Table(
        title=f"{result.cpus} CPUs, {_time(result.ns)}, {result.idle:.1%} idle",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    table.add_column("guest")
    for name in ("guests", "vcpus", "weight", "cap", "CPU", "steal", "req/s"):
        table.add_column(name, justify="right")
    for percent in PERCENTILES:
        table.add_column(f"{percent:g} %", justify="right")
    for section, group in groupby(result.guests, key=lambda guest: guest.section):
        guests = list(group)
        latencies = sorted(ns for guest in guests for ns in guest.latencies)
        table.add_row(
            section.name,
            str(section.count),
            str(section.vcpus),
            str(section.weight),
            str(section.cap or "-"),
            _percent(guest.cpus for guest in guests),
            _percent(guest.steal for guest in guests),
            f"{len(latencies) / result.ns * 1e9:,.0f}" if latencies else "-",
            *(_time(percentile(latencies, percent)) for percent in PERCENTILES),
        )
    return table
