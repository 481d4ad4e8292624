"""What pvbench has to know of a device class; a class's folder has one `DeviceBench`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, get_args

from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.job.batches import Convert, JobBatch, make_batches
from pvdrivers.tools.pvbench.job.command_line import CommandLine, OptionTable, Settings
from pvdrivers.tools.pvbench.job.run import BackHalf, FrontHalf
from pvdrivers.tools.pvbench.job.run_options import RunOptions


class DeviceBench(ABC):
    """A device class as pvbench measures it: the command NAME, its options, its two halves."""

    name: str
    options: OptionTable
    formats: tuple[str, ...]  # of its report

    @abstractmethod
    def open_halves(
        self, job: Any, processes: bool
    ) -> AbstractContextManager[tuple[FrontHalf, BackHalf]]:
        """Both halves of one of its jobs; see `OpenHalves`."""

    def run_without_jobs(self, line: CommandLine, run: Any, convert: Convert) -> bool:
        """Runs what is no job, and prints it; false: jobs are asked for. Raises BenchError."""
        return False

    @abstractmethod
    def report(self, results: Sequence[Any], wanted: str) -> str:
        """All of what is printed in one of its formats."""

    def complaints(self, result: Any) -> list[str]:
        """What went wrong in a job, a sentence each; any ends the command with exit code 1."""
        return [result.front.failure] if result.front.failure else []

    def batches(
        self, line: CommandLine, run: Any, convert: Convert
    ) -> AbstractContextManager[Sequence[JobBatch]]:
        """The jobs that a command line asks for. Raises OptionError."""
        return nullcontext(chosen_batches(line, run, convert))

    def suite_options(
        self, common: Settings, run: RunOptions, convert: Convert, key: str, kinds: object
    ) -> Any:
        """Of the workloads that run when none is asked for by `key`, one of the literals `kinds`.
        OptionError: an option is given that these workloads set themselves."""
        for name, rule in self.options.rules.items():
            if rule.suite_sets and name in common:
                choices = ", ".join(get_args(kinds))
                raise OptionError(f"--{name} needs --{key}, which is one of {choices}")
        options = convert(common)
        check_cpus(options.cpus, run)
        return options


def chosen_batches(line: CommandLine, run: RunOptions, convert: Convert) -> list[JobBatch]:
    sections = line.sections
    if run.section is not None:
        wanted = run.section.split(",")
        sections = [s for s in sections if s.common or s.settings.get("name") in wanted]
        if all(section.common for section in sections):
            raise OptionError(f"--section: there is no job named {run.section}")
    batches = make_batches(sections, convert)
    for job in (job for batch in batches for job in batch):
        check_cpus(job.cpus, run)
    return batches


def check_cpus(cpus: tuple[int, int] | None, run: RunOptions) -> None:
    if cpus is not None and not run.processes:
        raise OptionError("--cpus needs --processes")
