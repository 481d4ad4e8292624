"""pvsim: a server with its guests in virtual time."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, NoReturn

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import Progress

import pvdrivers
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.command_line import add_documentation
from pvdrivers.tools.command_line import run as run_app
from pvdrivers.tools.figures import rendered
from pvdrivers.tools.page import obstacle
from pvdrivers.tools.pvsim.page import write_page
from pvdrivers.tools.pvsim.result import Result, table, to_json
from pvdrivers.tools.pvsim.scenario import Scenario, load
from pvdrivers.tools.pvsim.simulation import simulation
from pvdrivers.tools.pvsim.sweep import Sweep, point, sweep_json, sweep_table

app = App(name="pvsim", help=__doc__, version=pvdrivers.__version__)
add_documentation(app)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=1.0)
        yield lambda part: progress.update(task, completed=part)


def _part_of(progress: Callable[[float], None], done: int, runs: int, part: float) -> None:
    progress((done + part) / runs)


def _open_trace(path: Path | None, scenario: Scenario) -> AbstractContextManager[BinaryIO | None]:
    if path is None:
        return nullcontext()
    if scenario.sweep:
        raise UsageError(
            "a trace is of one run, and a sweep has many: take [sweep] out, or --trace"
        )
    try:
        return path.open("wb")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name a file that can be written") from error


def _run(
    scenario: Scenario, trace: BinaryIO | None, progress: Callable[[float], None]
) -> Result | Sweep:
    runs = scenario.runs
    results = []
    for number, each in enumerate(runs):
        with simulation(each, trace) as run:
            results.append(run.run(partial(_part_of, progress, number, len(runs))))
    if not scenario.sweep:
        return results[0]
    guest = scenario.sweep.guest
    return Sweep(guest, [point(guest, result) for result in results])


@app.default
def pvsim(
    scenario: Path,
    /,
    *,
    output_format: Annotated[Literal["normal", "json"], Parameter(name="--output-format")] = (
        "normal"
    ),
    html: Path | None = None,
    trace: Path | None = None,
) -> None:
    """Runs a scenario: guests that share the CPUs of a machine as Xen's schedulers have it.

    Parameters
    ----------
    scenario
        A TOML file; docs/pvsim.md has its keys.
    output_format
        A table, or JSON.
    html
        Where to write a page with the table and plots; it needs matplotlib.
    trace
        Where to write what the CPUs do, as xentrace does, for xenalyze --cpu-hz 1G.
    """
    wanted = load(scenario)
    if html and (reason := obstacle(html)):
        raise UsageError(reason)
    with _open_trace(trace, wanted) as file, _progress(scenario.name) as progress:
        outcome = _run(wanted, file, progress)
    if html:
        write_page(html, scenario, outcome)
    if output_format == "json":
        found = sweep_json(outcome) if isinstance(outcome, Sweep) else to_json(outcome)
        json.dump(found, sys.stdout, indent=2)
        print()
    else:
        shown = sweep_table(outcome) if isinstance(outcome, Sweep) else table(outcome)
        print(rendered(shown), end="")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    run_app(app, arguments)


if __name__ == "__main__":
    main()
