"""Options of a whole run, which no job file has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

RUN = Group("The run", sort_key=3)


def run_option(text: str) -> Any:
    return Parameter(help=text, group=RUN, negative="")


def formats_option(text: str) -> Any:
    return Parameter(help=text, group=RUN, converter=_split, n_tokens=1, negative="")


def _split(_: object, tokens: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tokens[0].value.split(",")))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Those that every device class has."""

    processes: Annotated[
        bool, run_option("Frontend and backend in a process each, instead of a thread each.")
    ] = False
    section: Annotated[
        str | None, run_option("The jobs of job files that are run, by name, separated by commas.")
    ] = None
    status_interval: Annotated[
        str | None,
        run_option("Report the results so far, each time this many seconds have passed."),
    ] = None
    output: Annotated[
        Path | None, run_option("Write the report to this file instead of standard output.")
    ] = None
    output_format: Annotated[
        tuple[str, ...],
        formats_option("normal (a table) or json, or both separated by a comma."),
    ] = ("normal",)
