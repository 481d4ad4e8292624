"""pvsim: a server with its guests in virtual time."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, NoReturn

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import Progress

import pvdrivers
from pvdrivers.tools.command_line import add_documentation
from pvdrivers.tools.command_line import run as run_app
from pvdrivers.tools.figures import rendered
from pvdrivers.tools.pvsim.result import table, to_json
from pvdrivers.tools.pvsim.scenario import load
from pvdrivers.tools.pvsim.simulation import simulation

app = App(name="pvsim", help=__doc__, version=pvdrivers.__version__)
add_documentation(app)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=1.0)
        yield lambda part: progress.update(task, completed=part)


@app.default
def pvsim(
    scenario: Path,
    /,
    *,
    output_format: Annotated[Literal["normal", "json"], Parameter(name="--output-format")] = (
        "normal"
    ),
) -> None:
    """Runs a scenario: guests that share the CPUs of a machine as Xen's credit scheduler has it.

    Parameters
    ----------
    scenario
        A TOML file; docs/pvsim.md has its keys.
    output_format
        A table, or JSON.
    """
    wanted = load(scenario)
    with simulation(wanted) as run, _progress(scenario.name) as progress:
        result = run.run(progress)
    if output_format == "json":
        json.dump(to_json(result), sys.stdout, indent=2)
        print()
    else:
        print(rendered(table(result)), end="")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    run_app(app, arguments)


if __name__ == "__main__":
    main()
