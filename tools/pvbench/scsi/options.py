"""The options of a SCSI disk's job."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from pvdrivers.scsi.features import MAX_SG_GRANT, SG_GRANT, check_sg_grant
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.fio.job import StoreSpec
from pvdrivers.tools.pvbench.fio.options import DEFAULT_MEMORY_SIZE, FioOptions
from pvdrivers.tools.pvbench.job.options import DEVICE, Rule, option
from pvdrivers.tools.pvbench.scsi.job import CommandKind, ScsiJob, UnitKind


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
    unit: Annotated[
        UnitKind,
        option(
            "A disk, or a tape in SIMH's format in the file that --filename names, of --size; with "
            "--rw=write alone.",
            DEVICE,
        ),
        Rule(suite_sets=True),
    ] = "disk"
    command: Annotated[
        CommandKind | None,
        option(
            "Commands that move no blocks instead of READ: TEST UNIT READY, or MODE SENSE(6).",
            DEVICE,
        ),
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

        if self.unit == "tape":
            self._check_tape()
        if self.command and (self.rw != "read" or self.verify):
            raise OptionError(f"--command={self.command} goes with --rw=read, and without --verify")

    def _check_tape(self) -> None:
        if self.rw != "write":
            raise OptionError(f"--unit=tape: its --rw is write, not {self.rw}")
        if self.filename is None:
            raise OptionError("--unit=tape needs --filename, a tape image or a file to be")
        if self.store not in (None, "file"):
            raise OptionError(f"--unit=tape: --store={self.store} is for disks")
        several = self.numjobs > 1 or self.bsrange or self.bssplit
        if self.verify or self._size("offset") or several:
            raise OptionError(
                "--unit=tape is for one job with one size of records: without --verify, --offset, "
                "--numjobs, --bsrange and --bssplit"
            )

    def _store(self) -> StoreSpec:
        if self.unit == "disk":
            return super()._store()
        assert self.filename
        try:
            self.filename.touch()
        except OSError as error:
            raise OptionError(f"--filename: {self.filename}: {error.strerror}") from None
        size = self._size("size") or DEFAULT_MEMORY_SIZE
        return StoreSpec("file", size, str(self.filename.absolute()))

    def job(self) -> ScsiJob:
        self.check()
        job = ScsiJob(**self.shared(), segments=self.segments, unit=self.unit, command=self.command)
        self.check_fit(job)
        if not job.trims and job.max_bs > job.max_length:
            raise OptionError(
                f"--bs: a command transfers at most {job.max_length} bytes with --segments="
                f"{self.segments}, not {job.max_bs}"
            )
        return job
