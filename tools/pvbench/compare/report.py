"""Rows as a table for people and as JSON for programs."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import pvdrivers
from pvdrivers.tools.pvbench.compare.model import Comparison, Measured, Row, Unit
from pvdrivers.tools.pvbench.compare.pairs import middle_and_spread
from pvdrivers.tools.pvbench.compare.system import System, sentence

WIDTH = 150  # characters, when the output is no terminal
WIDE = 120  # that hold every column
MET = {True: "[green]yes[/green]", False: "[red]no[/red]", None: "-"}


class Report(Struct, frozen=True):
    version: str
    runs: int  # of each side
    seconds: float  # of each run
    system: System
    rows: list[Row]


def number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def amount(value: float, unit: Unit) -> str:
    """A value with its unit, short."""
    if unit in ("per request", "share"):
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


def typical(runs: Sequence[Measured], unit: Unit) -> str:
    return amount(middle_and_spread([run.value for run in runs])[0], unit) if runs else "-"


def goal(row: Row | Comparison) -> str:
    """The target in words; it has a unit where there is no ratio."""
    if row.target is None:
        return "-"
    target = f"{row.target:g}" if row.peer else amount(row.target, row.unit)
    floor = f", ours ≥ {amount(row.floor, row.unit)}" if row.floor is not None else ""
    return f"{'≥' if row.sense == '>=' else '≤'} {target}{floor}"


def ratio(row: Row) -> str:
    return "-" if row.ratio is None else number(row.ratio)


def spread(row: Row) -> str:
    return "-" if row.spread is None else " to ".join(map(number, row.spread))


def show(rows: Sequence[Row], system: System) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(f"On {sentence(system)}", markup=False, soft_wrap=True)
    console.print(_table(rows, wide=console.width >= WIDE))
    for row in rows:
        if row.reason:
            console.print(f"{row.name} is not measured: {row.reason}", markup=False, soft_wrap=True)


def _table(rows: Sequence[Row], wide: bool) -> Table:
    """A narrow one leaves out what the rows' names say in short, and both sides' values."""
    title = "Ours by the peer, median of paired runs"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("row", no_wrap=True)
    for heading in ("workload", "peer") if wide else ("peer",):
        table.add_column(heading)
    for heading in ("ours", "the peer's") if wide else ():
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("ratio", "spread"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("target", "met"):
        table.add_column(heading, justify="right")
    for row in rows:
        names = [row.name, row.workload, row.peer or "-"]
        values = [typical(row.ours, row.unit), typical(row.theirs, row.unit)]
        ends = [ratio(row), spread(row), goal(row), MET[row.met]]
        table.add_row(*(names + values + ends if wide else names[::2] + ends))
    return table


def encode(report: Report) -> str:
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def report(rows: Sequence[Row], runs: int, seconds: float, system: System) -> Report:
    return Report(pvdrivers.__version__, runs, seconds, system, list(rows))
