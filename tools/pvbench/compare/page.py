"""One page of HTML with everything in it: the table and the plots."""

import time
from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from string import Template

from pvdrivers.tools.pvbench.compare.history import Entry
from pvdrivers.tools.pvbench.compare.model import Row
from pvdrivers.tools.pvbench.compare.report import Report, goal, ratio, spread, typical
from pvdrivers.tools.pvbench.compare.system import sentence
from pvdrivers.tools.pvbench.errors import OptionError

TEMPLATE = Path(__file__).with_name("page.html")
MET = {True: '<td class="met">yes</td>', False: '<td class="missed">no</td>', None: "<td>-</td>"}


def check_page(path: Path) -> None:
    """Raises OptionError when no page can be written there, before anything is measured."""
    if find_spec("matplotlib") is None:
        raise OptionError("--html needs matplotlib: pip install 'pvdrivers[compare]'")
    try:
        path.open("a").close()
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}") from None


def _cells(row: Row) -> str:
    cells = [row.name, row.workload, row.peer or "-"]
    if row.reason:
        return "".join(f"<td>{escape(text)}</td>" for text in cells) + (
            f'<td colspan="4" class="missing">not measured: {escape(row.reason)}</td>'
            f"<td>{escape(goal(row))}</td><td>-</td>"
        )
    cells += [typical(row.ours, row.unit), typical(row.theirs, row.unit)]
    cells += [ratio(row), spread(row), goal(row)]
    return "".join(f"<td>{escape(text)}</td>" for text in cells) + MET[row.met]


def write_page(path: Path, report: Report, entries: Sequence[Entry]) -> None:
    # An extra of the package, and a second to import: only who wants the page needs it.
    from pvdrivers.tools.pvbench.compare.plots import sections

    plots = (
        f"<section><h2>{title}</h2><p>{words}</p>{plot}</section>"
        for title, words, plot in sections(report.rows, entries)
    )
    page = Template(TEMPLATE.read_text()).substitute(
        version=escape(report.version),
        when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        runs=report.runs,
        seconds=f"{report.seconds:g}",
        system=escape(sentence(report.system)),
        rows="\n".join(f"<tr>{_cells(row)}</tr>" for row in report.rows),
        sections="\n".join(plots),
    )
    path.write_text(page)
