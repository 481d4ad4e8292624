"""The VNIF as pvbench measures it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from msgspec.structs import replace

import pvdrivers
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.job.batches import Convert, JobBatch
from pvdrivers.tools.pvbench.job.command_line import CommandLine, OptionTable, Section
from pvdrivers.tools.pvbench.job.device_bench import DeviceBench
from pvdrivers.tools.pvbench.job.run import BackHalf, FrontHalf
from pvdrivers.tools.pvbench.vnif import json, table
from pvdrivers.tools.pvbench.vnif.halves import open_halves
from pvdrivers.tools.pvbench.vnif.job import Direction, VnifJob
from pvdrivers.tools.pvbench.vnif.measurement import VnifResult
from pvdrivers.tools.pvbench.vnif.options import VnifOptions
from pvdrivers.tools.pvbench.vnif.real import measure as real
from pvdrivers.tools.pvbench.vnif.real import report as real_report
from pvdrivers.tools.pvbench.vnif.real.offloads import parse_offloads
from pvdrivers.tools.pvbench.vnif.run_options import VnifRunOptions
from pvdrivers.tools.pvbench.vnif.suite import suite

REAL = {"abi", "mode", "profile", "queues", "runtime"}  # what --real takes of a job's options


class VnifBench(DeviceBench):
    name = "vnif"
    formats = ("normal", "json")
    options = OptionTable(
        "pvbench vnif", VnifOptions, VnifRunOptions, ignored={}, refused={}, flags=()
    )

    def open_halves(
        self, job: VnifJob, processes: bool
    ) -> AbstractContextManager[tuple[FrontHalf, BackHalf]]:
        return open_halves(job, processes)

    def run_without_jobs(self, line: CommandLine, run: VnifRunOptions, convert: Convert) -> bool:
        if not run.real:
            for option in ("capture", "offloads"):
                if getattr(run, option):
                    raise OptionError(f"--{option} needs --real")
            return False
        common = line.sections[0].settings
        if line.files or len(line.sections) > 1 or not set(common) <= REAL:
            raise OptionError(f"--real has no jobs; it takes {', '.join(sorted(REAL))}")
        options = convert(common)
        assert isinstance(options, VnifOptions)
        job = options.job()
        if run.offloads is not None:
            job = replace(job, offloads=parse_offloads(run.offloads))
        say = partial(print, "pvbench:", file=sys.stderr)
        found = real.measure(job, run.capture, say if sys.stderr.isatty() else lambda _: None)
        for wanted in run.output_format:
            if wanted == "json":
                print(real_report.encode(found, pvdrivers.__version__))
            else:
                print(real_report.show(found), end="")
        return True

    def batches(
        self, line: CommandLine, run: VnifRunOptions, convert: Convert
    ) -> AbstractContextManager[Sequence[JobBatch]]:
        """Without direction, requests and job files a set of workloads."""
        if all(section.common for section in line.sections):
            common = line.sections[0].settings
            if not {"direction", "requests"} & set(common):
                options = self.suite_options(common, run, convert, "direction", Direction)
                return nullcontext(suite(options))
            line.sections = [Section(common)]
        return super().batches(line, run, convert)

    def report(self, results: Sequence[VnifResult], wanted: str) -> str:
        if wanted == "json":
            return json.encode(results, pvdrivers.__version__) + "\n"
        return table.show(results)

    def complaints(self, result: VnifResult) -> list[str]:
        corrupt = result.front.corrupt
        wrong = [f"{corrupt} frames came with another content than was sent"] if corrupt else []
        return super().complaints(result) + wrong
