"""One page of HTML with everything in it: the table and the plots."""

import time
from collections.abc import Sequence
from html import escape
from pathlib import Path

from pvdrivers.tools.page import fill
from pvdrivers.tools.pvbench.compare.history import Entry
from pvdrivers.tools.pvbench.compare.model import Row
from pvdrivers.tools.pvbench.compare.report import (
    Report,
    goal,
    met,
    ours,
    ratio,
    spread,
    theirs,
)
from pvdrivers.tools.pvbench.compare.system import sentence

TEMPLATE = Path(__file__).with_name("page.html")
COLUMNS = 9


def _line(row: Row) -> str:
    """A row's figures, and below them what they are for."""
    cells = [_cell(text) for text in (row.name, row.workload, row.baseline or "-")]
    if row.reason:
        cells.append(f'<td colspan="4" class="missing">not measured: {escape(row.reason)}</td>')
    else:
        cells += [_cell(text) for text in (ours(row), theirs(row), ratio(row), spread(row))]
    cells += [_cell(goal(row)), f'<td class="met-{met(row)}">{met(row)}</td>']
    doubt = f' <b class="met-unknown">Uncertain: {escape(row.doubt)}.</b>' if row.doubt else ""
    below = f'<td colspan="{COLUMNS}" class="purpose">{escape(row.purpose)}{doubt}</td>'
    return f"<tr>{''.join(cells)}</tr>\n<tr>{below}</tr>"


def _cell(text: str) -> str:
    return f"<td>{escape(text)}</td>"


def _warning(rows: Sequence[Row]) -> str:
    doubtful = [row.name for row in rows if row.doubt]
    if not doubtful:
        return ""
    names = escape(", ".join(doubtful))
    return f'<p class="met-unknown">The machine was busy, or the runs are far apart: {names}</p>'


def write_page(path: Path, report: Report, entries: Sequence[Entry]) -> None:
    # An extra of the package that takes a second to import: only the page needs it.
    from pvdrivers.tools.pvbench.compare.plots import sections

    page = fill(
        TEMPLATE,
        sections(report.rows, entries),
        version=escape(report.version),
        when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        runs=report.runs,
        seconds=f"{report.seconds:g}",
        system=escape(sentence(report.system)),
        rows="\n".join(map(_line, report.rows)),
        warning=_warning(report.rows),
    )
    path.write_text(page)
