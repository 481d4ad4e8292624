"""The runs of a scenario's sweep side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

from pvdrivers.tools.pvsim.result import (
    PERCENTILES,
    Group,
    Result,
    percentile,
    time_text,
    to_json,
)


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One run, as the guests of the sweep see it."""

    result: Result
    group: Group

    @property
    def count(self) -> int:
        return len(self.group.guests)

    @property
    def per_cpu(self) -> float:
        return self.count / self.result.cpus


@dataclass(frozen=True, slots=True)
class Sweep:
    guest: str
    points: Sequence[SweepPoint]


def point(guest: str, result: Result) -> SweepPoint:
    return SweepPoint(result, next(each for each in result.groups if each.section.name == guest))


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
        shares, latencies = each.group.shares, each.group.latencies
        table.add_row(
            str(each.count),
            f"{each.per_cpu:g}",
            f"{each.result.idle:.1%}",
            f"{each.result.dom0.cpus:.1%}",
            f"{shares.cpus:.1%}",
            f"{shares.steal:.1%}",
            f"{len(latencies) / each.result.ns * 1e9:,.0f}",
            *(time_text(percentile(latencies, percent)) for percent in PERCENTILES),
        )
    return table
