"""A disk as pvbench measures it, whatever its device class."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pvdrivers
from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.fio import groups, json, table, terse
from pvdrivers.tools.pvbench.fio.entries import entries_of
from pvdrivers.tools.pvbench.fio.job import FioJob
from pvdrivers.tools.pvbench.fio.measurement import FioResult
from pvdrivers.tools.pvbench.job.batches import Convert, JobBatch
from pvdrivers.tools.pvbench.job.command_line import CommandLine
from pvdrivers.tools.pvbench.job.device_bench import DeviceBench, chosen_batches


class FioBench(DeviceBench):
    formats = ("normal", "json", "json+", "terse")

    def batches(
        self, line: CommandLine, run: Any, convert: Convert
    ) -> AbstractContextManager[Sequence[JobBatch]]:
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
