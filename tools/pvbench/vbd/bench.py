"""The VBD as pvbench measures it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import get_args

from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.fio.bench import FioBench
from pvdrivers.tools.pvbench.job.batches import Convert, JobBatch
from pvdrivers.tools.pvbench.job.command_line import CommandLine, OptionTable, Section, Settings
from pvdrivers.tools.pvbench.job.device_bench import check_cpus
from pvdrivers.tools.pvbench.job.options import rules
from pvdrivers.tools.pvbench.job.run import BackHalf, FrontHalf
from pvdrivers.tools.pvbench.vbd.fio_absent import FLAGS, WHY_IGNORED, WHY_REFUSED
from pvdrivers.tools.pvbench.vbd.halves import open_halves
from pvdrivers.tools.pvbench.vbd.image import make_image
from pvdrivers.tools.pvbench.vbd.job import RW, VbdJob
from pvdrivers.tools.pvbench.vbd.options import VbdOptions
from pvdrivers.tools.pvbench.vbd.run_options import VbdRunOptions
from pvdrivers.tools.pvbench.vbd.suite import suite


class VbdBench(FioBench):
    name = "vbd"
    options = OptionTable(
        "pvbench vbd",
        VbdOptions,
        VbdRunOptions,
        ignored=WHY_IGNORED,
        refused=WHY_REFUSED,
        flags=FLAGS,
    )

    def open_halves(
        self, job: VbdJob, processes: bool
    ) -> AbstractContextManager[tuple[FrontHalf, BackHalf]]:
        return open_halves(job, processes)

    def batches(
        self, line: CommandLine, run: VbdRunOptions, convert: Convert
    ) -> AbstractContextManager[Sequence[JobBatch]]:
        """Without rw and job files a set of workloads."""
        if run.make_image is not None:
            if any("filename" in section.settings for section in line.sections):
                raise OptionError("--make-image and --filename exclude each other")
            make_image(run.make_image)
            line.sections[0].settings["filename"] = str(run.make_image)
        if all(section.common for section in line.sections):
            common = line.sections[0].settings
            if "rw" not in common:
                return self._suite(common, run, convert)
            line.sections = [Section(common)]
        return super().batches(line, run, convert)

    def _suite(
        self, common: Settings, run: VbdRunOptions, convert: Convert
    ) -> AbstractContextManager[Sequence[JobBatch]]:
        for name, rule in rules(VbdOptions).items():
            if rule.suite_sets and name in common:
                choices = ", ".join(get_args(RW))
                raise OptionError(f"--{name} needs --rw, which is one of {choices}")
        options = convert(common)
        assert isinstance(options, VbdOptions)
        check_cpus(options.cpus, run)
        return suite(options, options.filename, run.make_image is not None)
