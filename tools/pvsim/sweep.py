"""The runs of a scenario's sweep side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

from pvdrivers.tools.pvsim.result import (
    PERCENTILES,
    GuestResult,
    Result,
    percentile,
    time_text,
    to_json,
)


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One run, as the guests of the sweep see it."""

    count: int
    result: Result
    guests: Sequence[GuestResult]

    @property
    def per_cpu(self) -> float:
        return self.count / self.result.cpus

    @property
    def cpu(self) -> float:
        """CPUs that each of them had."""
        return sum(guest.shares.cpus for guest in self.guests) / self.count

    @property
    def steal(self) -> float:
        return sum(guest.shares.steal for guest in self.guests) / self.count

    @property
    def latencies(self) -> list[int]:
        return sorted(ns for guest in self.guests for ns in guest.latencies)

    @property
    def rate(self) -> float:
        """Requests a second, of all of them."""
        return sum(len(guest.latencies) for guest in self.guests) / self.result.ns * 1e9


@dataclass(frozen=True, slots=True)
class Sweep:
    guest: str
    points: Sequence[SweepPoint]


def point(guest: str, result: Result) -> SweepPoint:
    guests = [each for each in result.guests if each.section.name == guest]
    return SweepPoint(len(guests), result, guests)


def sweep_json(sweep: Sweep) -> dict[str, Any]:
    """`runs` are as those of a scenario without a sweep."""
    return {
        "sweep": sweep.guest,
        "runs": [{"count": each.count} | to_json(each.result) for each in sweep.points],
    }


def sweep_table(sweep: Sweep) -> Table:
    """A row for each run, with the guests of the sweep."""
    first = sweep.points[0].result
    title = f"{sweep.guest}, {first.cpus} CPUs, {time_text(first.ns)} each"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("guests", "a CPU", "idle", "dom0", "CPU", "steal", "req/s"):
        table.add_column(name, justify="right")
    for percent in PERCENTILES:
        table.add_column(f"{percent:g} %", justify="right")
    for each in sweep.points:
        latencies = each.latencies
        table.add_row(
            str(each.count),
            f"{each.per_cpu:g}",
            f"{each.result.idle:.1%}",
            f"{each.result.dom0.cpus:.1%}",
            f"{each.cpu:.1%}",
            f"{each.steal:.1%}",
            f"{each.rate:,.0f}",
            *(time_text(percentile(latencies, percent)) for percent in PERCENTILES),
        )
    return table
