"""The options of a disk's job that fio has and every disk, as fio names them."""

from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.fio.job import Reporting
from pvdrivers.tools.pvbench.job.options import JobOptions, Rule, option


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FioOptions(JobOptions):
    """The options of one job on a disk."""

    iodepth: Annotated[
        int, option("Operations outstanding per job."), Rule(limits=(1, 65536), suite_sets=True)
    ] = 1
    numjobs: Annotated[
        int,
        option("Clones of the job on its disk, iodepth operations each; one thread."),
        Rule(limits=(1, 1024), suite_sets=True),
    ] = 1
    time_based: Annotated[bool, option("Run for the whole runtime.")] = False
    randseed: Annotated[int, option("The seed of everything random.")] = 1
    kb_base: Annotated[
        int, option("1024 or 1000: what k stands for in sizes; kib is of the other base.")
    ] = 1024
    new_group: Annotated[bool, option("Begin a new group in the report, as a stonewall does.")] = (
        False
    )
    group_reporting: Annotated[
        bool, option("One entry in the report for all jobs of a group, not one for each clone.")
    ] = False
    clat_percentiles: Annotated[
        bool, option("Report percentiles of the time from submission to completion.")
    ] = True
    lat_percentiles: Annotated[bool, option("Report percentiles of the whole latency.")] = False
    slat_percentiles: Annotated[
        bool, option("Report percentiles of the time until an operation is submitted.")
    ] = False

    def check(self) -> None:
        super().check()
        if self.kb_base not in (1000, 1024):
            raise OptionError(f"--kb_base: {self.kb_base} is neither 1000 nor 1024")
        if self.time_based and not self.runtime:
            raise OptionError("--time_based needs --runtime")

    def shared(self) -> dict[str, Any]:
        return super().shared() | {
            "iodepth": self.iodepth,
            "numjobs": self.numjobs,
            "begins_group": self.stonewall or self.new_group,
            "time_based": self.time_based,
            "randseed": self.randseed,
            "reporting": Reporting(
                group=self.group_reporting,
                slat=self.slat_percentiles,
                clat=self.clat_percentiles,
                lat=self.lat_percentiles,
            ),
        }
