"""Options of a whole run of `pvbench vnif`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pvdrivers.tools.pvbench.job.run_options import RunOptions, run_option


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class VnifRunOptions(RunOptions):
    real: Annotated[
        bool,
        run_option(
            "Instead of jobs: the kernel's TCP and ping between two network namespaces, through "
            "the device and over a veth pair. Needs root, iperf3 and ping."
        ),
    ] = False
    capture: Annotated[
        Path | None,
        run_option("With --real, write what passes the backend to this file, as pcapng."),
    ] = None
