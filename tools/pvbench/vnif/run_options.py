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
    offloads: Annotated[
        str | None,
        run_option(
            "With --real, what the guest takes: sg, gso4, gso6, csum4 and csum6, with commas "
            "between them, or none. gso4 and gso6 need sg and the checksum of their version. "
            "Without it all, or what --profile has."
        ),
    ] = None
    capture: Annotated[
        Path | None,
        run_option("With --real, write what passes the backend to this file, as pcapng."),
    ] = None
