"""The options of a SCSI disk's job."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from pvdrivers.scsi.features import MAX_SG_GRANT, SG_GRANT, check_sg_grant
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.fio.options import FioOptions
from pvdrivers.tools.pvbench.job.options import DEVICE, Rule, option
from pvdrivers.tools.pvbench.scsi.job import ScsiJob


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ScsiOptions(FioOptions):
    """The options of one job of `pvbench scsi`."""

    queues: Annotated[int, option("A SCSI host has one ring.", DEVICE), Rule(limits=(1, 1))] = 1
    store: Annotated[
        Literal["null", "ram", "file"] | None,
        option("Where the disk's blocks live: file when there is an image, else ram.", DEVICE),
        Rule(suite_sets=True),
    ] = None
    segments: Annotated[
        int,
        option(
            "Pages of data of a command that has a list of its segments at most; 0: there are no "
            "lists, and a command has the 26 that its slot has room for.",
            DEVICE,
        ),
        Rule(limits=(0, MAX_SG_GRANT)),
    ] = SG_GRANT

    def check(self) -> None:
        super().check()
        try:
            check_sg_grant(self.segments)
        except ValueError as error:
            raise OptionError(f"--segments: {self.segments}: {error}") from None

    def job(self) -> ScsiJob:
        self.check()
        job = ScsiJob(**self.shared(), segments=self.segments)
        self.check_fit(job)
        if not job.trims and job.max_bs > job.max_length:
            raise OptionError(
                f"--bs: a command transfers at most {job.max_length} bytes with --segments="
                f"{self.segments}, not {job.max_bs}"
            )
        return job
