"""Options of a whole run of `pvbench vbd`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pvdrivers.tools.pvbench.fio.run_options import FioRunOptions
from pvdrivers.tools.pvbench.job.run_options import run_option


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class VbdRunOptions(FioRunOptions):
    make_image: Annotated[
        Path | None,
        run_option(
            "Make an image there first, overwriting what is there: an ext4 file system with "
            "mke2fs, random bytes where that is missing."
        ),
    ] = None
