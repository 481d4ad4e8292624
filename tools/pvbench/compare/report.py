"""Rows as a table for people and as JSON for programs."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import pvdrivers
from pvdrivers.tools.pvbench.compare.model import Comparison, Row, Unit, Verdict
from pvdrivers.tools.pvbench.compare.system import System, sentence

WIDTH = 150  # characters, when the output is no terminal
WIDE = 120  # that hold every column
COLOURS: dict[Verdict | None, str] = {
    True: "green",
    False: "red",
    "unknown": "yellow",
    None: "default",
}


class Report(Struct, frozen=True):
    version: str
    runs: int  # of each contender
    seconds: float  # of each run
    system: System
    rows: list[Row]


def number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def amount(value: float, unit: Unit) -> str:
    """A value with its unit, short."""
    if unit in ("per request", "per packet", "share"):
        return number(value)
    if unit == "s":
        return f"{number(value)} s" if value >= 1 else f"{number(value * 1000)} ms"
    if unit == "ns":
        return f"{value:,.0f} ns" if value < 10_000 else f"{value / 1000:,.1f} µs"
    scale, prefix = next(
        (scale, prefix)
        for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))
        if value >= scale or scale == 1
    )
    byte, rate = "B" * unit.startswith("bytes"), "/s" * unit.endswith("/s")
    return f"{value / scale:.3g} {prefix}{byte}{rate}".replace(" /", "/").rstrip()


def ours(row: Row) -> str:
    return "-" if row.value is None else amount(row.value, row.unit)


def theirs(row: Row) -> str:
    return "-" if row.baseline_value is None else amount(row.baseline_value, row.unit)


def goal(row: Row | Comparison) -> str:
    """The target in words; it has a unit where there is no ratio."""
    if row.target is None:
        return "-"
    target = f"{row.target:g}" if row.baseline else amount(row.target, row.unit)
    floor = f", ours ≥ {amount(row.floor, row.unit)}" if row.floor is not None else ""
    return f"{'≥' if row.sense == '>=' else '≤'} {target}{floor}"


def judged(row: Row) -> str:
    """The ratio, or without a baseline the value with its unit."""
    return ratio(row) if row.baseline else ours(row)


def ratio(row: Row) -> str:
    return "-" if row.ratio is None else number(row.ratio)


def spread(row: Row) -> str:
    """Of the ratio, or without a baseline of the value."""
    if row.spread is None:
        return "-"
    return " to ".join(number(end) if row.baseline else amount(end, row.unit) for end in row.spread)


def met(row: Row) -> str:
    if row.met is None:
        return "-"
    return "unknown" if row.met == "unknown" else "yes" if row.met else "no"


def show(rows: Sequence[Row], system: System) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(f"On {sentence(system)}", markup=False, soft_wrap=True)
    console.print(_table(rows, wide=console.width >= WIDE))
    for row in rows:
        if row.reason:
            console.print(f"{row.name} is not measured: {row.reason}", markup=False, soft_wrap=True)
        elif row.doubt:
            console.print(f"{row.name} is uncertain: {row.doubt}", markup=False, soft_wrap=True)


def _table(rows: Sequence[Row], wide: bool) -> Table:
    """A narrow one leaves out what the rows' names say in short, and the baseline's values."""
    title = "Ours, the baseline's and their ratio: the pair of runs in the middle"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("row", no_wrap=True)
    for heading in ("workload", "baseline") if wide else ("baseline",):
        table.add_column(heading)
    for heading in ("ours", "the baseline's") if wide else ("ours",):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("ratio", "spread"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("target", "met"):
        table.add_column(heading, justify="right")
    for row in rows:
        names = [row.name, row.workload, row.baseline or "-"]
        values = [ours(row), theirs(row)]
        verdict = f"[{COLOURS[row.met]}]{met(row)}[/]"
        ends = [ratio(row), spread(row), goal(row), verdict]
        table.add_row(*(names + values + ends if wide else [*names[::2], ours(row), *ends]))
    return table


def encode(report: Report) -> str:
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def report(rows: Sequence[Row], runs: int, seconds: float, system: System) -> Report:
    return Report(pvdrivers.__version__, runs, seconds, system, list(rows))
