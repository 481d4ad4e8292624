"""A disk as pvbench measures it, whatever its device class."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import pvdrivers
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.fio import groups, json, table, terse
from pvdrivers.tools.pvbench.fio.absent import FLAGS, WHY_IGNORED, WHY_REFUSED
from pvdrivers.tools.pvbench.fio.entries import entries_of
from pvdrivers.tools.pvbench.fio.image import make_image
from pvdrivers.tools.pvbench.fio.job import RW, FioJob
from pvdrivers.tools.pvbench.fio.measurement import FioResult
from pvdrivers.tools.pvbench.fio.options import FioOptions
from pvdrivers.tools.pvbench.fio.run_options import FioRunOptions
from pvdrivers.tools.pvbench.fio.suite import suite
from pvdrivers.tools.pvbench.job.batches import Convert, JobBatch
from pvdrivers.tools.pvbench.job.command_line import CommandLine, OptionTable, Section
from pvdrivers.tools.pvbench.job.device_bench import DeviceBench, chosen_batches


def option_table(command: str, options: type[FioOptions]) -> OptionTable:
    return OptionTable(
        command, options, FioRunOptions, ignored=WHY_IGNORED, refused=WHY_REFUSED, flags=FLAGS
    )


class FioBench(DeviceBench):
    formats = ("normal", "json", "json+", "terse")

    def batches(
        self, line: CommandLine, run: FioRunOptions, convert: Convert
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
                options = self.suite_options(common, run, convert, "rw", RW)
                return suite(options, options.filename, run.make_image is not None)
            line.sections = [Section(common)]
        batches: list[list[FioJob]] = groups.number(chosen_batches(line, run, convert))
        for job in (job for batch in batches for job in batch):
            if run.readonly and job.changes_content:
                raise OptionError(f"--readonly: {job.name} writes")
        return nullcontext(batches)

    def report(self, results: Sequence[FioResult], wanted: str) -> str:
        entries = entries_of(results)
        if wanted in ("json", "json+"):
            return json.encode(entries, pvdrivers.__version__, bins=wanted == "json+") + "\n"
        return terse.lines(entries) if wanted == "terse" else table.show(entries)

    def complaints(self, result: FioResult) -> list[str]:
        front = result.front
        wrong = f"{front.verify_errors} blocks are wrong, the first: {front.mismatch}"
        return super().complaints(result) + ([wrong] if front.verify_errors else [])
