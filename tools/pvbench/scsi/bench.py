"""A disk of a virtual SCSI host as pvbench measures it."""

from __future__ import annotations

from contextlib import AbstractContextManager

from pvdrivers.tools.pvbench.fio.bench import FioBench, option_table
from pvdrivers.tools.pvbench.job.run import BackHalf, FrontHalf
from pvdrivers.tools.pvbench.scsi.halves import open_halves
from pvdrivers.tools.pvbench.scsi.job import ScsiJob
from pvdrivers.tools.pvbench.scsi.options import ScsiOptions


class ScsiBench(FioBench):
    name = "scsi"
    options = option_table("pvbench scsi", ScsiOptions)

    def open_halves(
        self, job: ScsiJob, processes: bool
    ) -> AbstractContextManager[tuple[FrontHalf, BackHalf]]:
        return open_halves(job, processes)
