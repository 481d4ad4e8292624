"""Options of a whole run that every disk has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pvdrivers.tools.pvbench.job.run_options import RunOptions, formats_option, run_option


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FioRunOptions(RunOptions):
    readonly: Annotated[bool, run_option("Refuse jobs that write.")] = False
    output_format: Annotated[
        tuple[str, ...],
        formats_option(
            "normal (a table), json, json+ (with histograms) or terse, and several separated by "
            "commas; all but the table are fio's."
        ),
    ] = ("normal",)
    make_image: Annotated[
        Path | None,
        run_option(
            "Make an image there first, overwriting what is there: an ext4 file system with "
            "mke2fs, random bytes where that is missing."
        ),
    ] = None
