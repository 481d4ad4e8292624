"""One page of HTML with everything in it: the table, the plots and the scenario."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

from rich.table import Table

from pvdrivers.tools.page import fill
from pvdrivers.tools.pvsim.result import Result, table
from pvdrivers.tools.pvsim.sweep import Sweep, sweep_table

TEMPLATE = Path(__file__).with_name("page.html")


def write_page(path: Path, scenario: Path, outcome: Result | Sweep) -> None:
    from pvdrivers.tools.pvsim.plots import result_sections, sweep_sections

    if isinstance(outcome, Sweep):
        shown, sections = sweep_table(outcome), sweep_sections(outcome)
    else:
        shown, sections = table(outcome), result_sections(outcome)
    page = fill(
        TEMPLATE,
        sections,
        name=escape(scenario.name),
        title=escape(str(shown.title)),
        heads=_cells("th", (str(column.header) for column in shown.columns)),
        rows="\n".join(f"<tr>{_cells('td', row)}</tr>" for row in _rows(shown)),
        scenario=escape(scenario.read_text()),
    )
    path.write_text(page)


def _rows(shown: Table) -> Iterable[tuple[str, ...]]:
    return zip(*(map(str, column.cells) for column in shown.columns), strict=True)


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)
