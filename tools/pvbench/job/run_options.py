"""Options of a whole run, which no job file has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from cyclopts import Group, Parameter

from pvdrivers.tools.pvbench.errors import OptionError

RUN = Group("The run", sort_key=3)
Format = Literal["normal", "json", "json+", "terse"]
FORMATS = get_args(Format)


def run_option(text: str) -> Any:
    return Parameter(help=text, group=RUN, negative="")


def parse_formats(_: object, tokens: Any) -> tuple[Format, ...]:
    formats = tuple(dict.fromkeys(tokens[0].value.split(",")))
    for wanted in formats:
        if wanted not in FORMATS:
            raise OptionError(f"--output_format: {wanted!r} is none of {', '.join(FORMATS)}")
    return formats


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Those that every device class has."""

    processes: Annotated[
        bool, run_option("Frontend and backend in a process each, instead of a thread each.")
    ] = False
    readonly: Annotated[bool, run_option("Refuse jobs that write.")] = False
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
        tuple[Format, ...],
        Parameter(
            help="normal (a table), json, json+ (with histograms) or terse, and several separated "
            "by commas; all but the table are fio's.",
            group=RUN,
            converter=parse_formats,
            n_tokens=1,
            negative="",
        ),
    ] = ("normal",)
