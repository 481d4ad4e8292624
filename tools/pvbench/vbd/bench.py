"""The VBD as pvbench measures it."""

from __future__ import annotations

from contextlib import AbstractContextManager

from pvdrivers.tools.pvbench.fio.bench import FioBench, option_table
from pvdrivers.tools.pvbench.job.run import BackHalf, FrontHalf
from pvdrivers.tools.pvbench.vbd.halves import open_halves
from pvdrivers.tools.pvbench.vbd.job import VbdJob
from pvdrivers.tools.pvbench.vbd.options import VbdOptions


class VbdBench(FioBench):
    name = "vbd"
    options = option_table("pvbench vbd", VbdOptions)

    def open_halves(
        self, job: VbdJob, processes: bool
    ) -> AbstractContextManager[tuple[FrontHalf, BackHalf]]:
        return open_halves(job, processes)
