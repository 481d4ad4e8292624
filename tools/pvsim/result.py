"""What came out of a scenario, as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from rich import box
from rich.table import Table

from pvdrivers.sim.scheduler import SchedStats
from pvdrivers.tools.pvsim.scenario import DomainSection, GuestSection

PERCENTILES = (50, 90, 99, 99.9)


@dataclass(frozen=True, slots=True)
class Shares:
    """CPUs, on average."""

    cpus: float  # that a domain had
    steal: float  # that it waited for


@dataclass(frozen=True, slots=True)
class GuestResult:
    name: str
    section: GuestSection
    shares: Shares
    latencies: Sequence[int]  # ns, ascending
    bytes: int  # moved by its requests


@dataclass(frozen=True)
class Group:
    """The guests of one [[guest]]."""

    section: GuestSection
    guests: Sequence[GuestResult]

    @property
    def shares(self) -> Shares:
        """Of a guest on average."""
        count = len(self.guests)
        return Shares(
            sum(guest.shares.cpus for guest in self.guests) / count,
            sum(guest.shares.steal for guest in self.guests) / count,
        )

    @cached_property
    def latencies(self) -> Sequence[int]:
        """Of all of them, ascending."""
        return sorted(ns for guest in self.guests for ns in guest.latencies)


@dataclass(frozen=True)
class Result:
    cpus: int
    ns: int
    idle: float  # part of all CPU time
    stats: SchedStats
    dom0_section: DomainSection
    dom0: Shares
    guests: Sequence[GuestResult]

    @cached_property
    def groups(self) -> Sequence[Group]:
        found = groupby(self.guests, key=lambda guest: guest.section)
        return [Group(section, list(guests)) for section, guests in found]

    @property
    def has_devices(self) -> bool:
        return any(guest.section.has_device for guest in self.guests)


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
        "dom0": {"cpu": result.dom0.cpus, "steal": result.dom0.steal},
        "guests": [
            {
                "name": guest.name,
                "weight": guest.section.weight,
                "cap": guest.section.cap,
                "vcpus": guest.section.vcpus,
                "cpu": guest.shares.cpus,
                "steal": guest.shares.steal,
                "requests": len(guest.latencies),
                "bytes": guest.bytes,
                "latency": {
                    f"p{percent:g}": percentile(guest.latencies, percent) for percent in PERCENTILES
                },
            }
            for guest in result.guests
        ],
    }


def _percent(values: Iterable[float]) -> str:
    low, high = min(values := list(values)), max(values)
    if high - low < 0.0005:
        return f"{high:.1%}"
    digits = 0 if high >= 0.1 else 1
    return f"{100 * low:.{digits}f}-{high:.{digits}%}"


def time_text(ns: int | None) -> str:
    if ns is None:
        return "-"
    for unit, scale in (("s", 10**9), ("ms", 10**6), ("µs", 1000)):
        if ns >= scale:
            return f"{ns / scale:.3g} {unit}"
    return f"{ns} ns"


def table(result: Result) -> Table:
    """A row for each [[guest]] of the scenario; the latencies are those of all its guests."""
    table = Table(
        title=f"{result.cpus} CPUs, {time_text(result.ns)}, {result.idle:.1%} idle",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        padding=(0, 0, 0, 1),
    )
    table.add_column("guest")
    for name in ("guests", "vcpus", "weight", "cap", "CPU", "steal", "req/s", "MB/s"):
        table.add_column(name, justify="right")
    for percent in PERCENTILES:
        table.add_column(f"{percent:g} %", justify="right")
    if result.has_devices:
        table.add_row("dom0", *_settings(result.dom0_section, 1), *_shares([result.dom0]))
    for group in result.groups:
        section, latencies = group.section, group.latencies
        moved = sum(guest.bytes for guest in group.guests)
        table.add_row(
            section.name,
            *_settings(section, section.count),
            *_shares([guest.shares for guest in group.guests]),
            f"{len(latencies) / result.ns * 1e9:,.0f}" if latencies else "-",
            f"{moved / result.ns * 1e3:,.3g}" if moved else "-",
            *(time_text(percentile(latencies, percent)) for percent in PERCENTILES),
        )
    return table


def _settings(section: DomainSection, count: int) -> list[str]:
    return [str(count), str(section.vcpus), str(section.weight), str(section.cap or "-")]


def _shares(shares: Sequence[Shares]) -> list[str]:
    return [_percent(each.cpus for each in shares), _percent(each.steal for each in shares)]
