"""The command line of `pvbench compare`."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pvdrivers.tools.page import obstacle
from pvdrivers.tools.pvbench.compare import report, scratch
from pvdrivers.tools.pvbench.compare.history import append_ratios, read_history
from pvdrivers.tools.pvbench.compare.model import Comparison, Row, Setting
from pvdrivers.tools.pvbench.compare.needs import unmet
from pvdrivers.tools.pvbench.compare.page import write_page
from pvdrivers.tools.pvbench.compare.processors import same_processors
from pvdrivers.tools.pvbench.compare.progress import CompareProgress
from pvdrivers.tools.pvbench.compare.runner import chosen, measure
from pvdrivers.tools.pvbench.compare.system import this_system
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.units import parse_time

Format = Literal["normal", "json"]
DISK = Path("/var/tmp")  # keeps what is in it over a reboot, so it is on a disk


def compare(
    *,
    rows: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    runs: int = 5,
    runtime: str = "2s",
    output_format: Format = "normal",
    html: Path | None = None,
    history: Path | None = None,
    disk: Path = DISK,
    packages: bool = False,
    check: bool = False,
) -> int:
    """Measures our workloads and their baselines in turn, on two processors.

    What is missing on this machine is named, and its rows are shown as not measured. The exit code
    is 1 when a contender fails.

    Parameters
    ----------
    rows
        The rows to measure; all without it.
    runs
        Runs of each contender of a row.
    runtime
        How long a run is, in seconds unless a suffix says otherwise.
    output_format
        A table, or JSON.
    html
        Write a page with plots to this file; it needs nothing else, nor a network.
    history
        Add the ratios to this file, a line of JSON for each run; the page draws them all.
    disk
        A folder on a disk, for the rows that write to one.
    packages
        Only name the Debian packages that are missing, a line each.
    check
        Exit code 1 also when a target is missed, its outcome unknown, or a row not measured.
    """
    if runs < 1:
        raise OptionError(f"--runs: {runs} is not at least 1")
    seconds = parse_time("--runtime", runtime) / 1e9
    if seconds <= 0:
        raise OptionError("--runtime: a run takes some time")
    comparisons = chosen(rows)
    if packages:
        _show_packages(comparisons, disk)
        return 0
    earlier = read_history(history) if history else []
    if html and (reason := obstacle(html)):
        raise OptionError(reason)
    measured = _measure(comparisons, runs, seconds, disk)
    system = this_system(comparisons[row.name] for row in measured if row.value is not None)
    if history and (entry := append_ratios(history, measured, system)):
        earlier.append(entry)
    result = report.report(measured, runs, seconds, system)
    if html:
        write_page(html, result, earlier)
        print(f"The page is {html}", file=sys.stderr)
    if output_format == "json":
        print(report.encode(result))
    else:
        report.show(measured, system)
    return int(any(row.failed or (check and _short(row)) for row in measured))


def _measure(
    comparisons: dict[str, Comparison], runs: int, seconds: float, disk: Path
) -> list[Row]:
    rows = []
    with (
        same_processors(),
        scratch.setting(seconds, disk) as setting,
        CompareProgress(comparisons, runs) as progress,
    ):
        told = replace(setting, say=progress.say)
        for name, comparison in comparisons.items():
            progress.begin(name)
            row = measure(name, comparison, runs, told, partial(progress.tick, name))
            progress.done(row, comparison)
            rows.append(row)
    return rows


def _short(row: Row) -> bool:
    """Not all that was to be shown."""
    return row.value is None or row.met in (False, "unknown")


def _show_packages(comparisons: dict[str, Comparison], disk: Path) -> None:
    setting = Setting(0, scratch.MEMORY, disk)
    unmet_needs = [need for each in comparisons.values() for need, _ in unmet(each, setting)]
    for package in sorted({need.package for need in unmet_needs if need.package}):
        print(package)
