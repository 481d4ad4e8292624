"""From sections to jobs, and which of them run at once."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.job.command_line import Section, Settings, as_given
from pvdrivers.tools.pvbench.job.options import JobOptions

JobBatch = list[Any]  # jobs of one class that run at once
Convert = Callable[[Settings], JobOptions]


def make_batches(sections: Sequence[Section], convert: Convert) -> list[JobBatch]:
    """Jobs with what is common to them; a stonewall begins a batch. Raises OptionError."""
    common: Settings = {}
    batches: list[JobBatch] = [[]]
    for section in sections:
        if section.common:
            common |= section.settings
            continue
        try:
            options = convert(common | section.settings)
            job = options.job()
        except OptionError as error:
            raise OptionError(f"{section.source}: {error}" if section.source else error) from None
        if options.stonewall and batches[-1]:
            batches.append([])
        batches[-1].append(replace(job, common=as_given(common)))
    for batch in batches:
        _check_conflicts(batch)
    return batches


def _check_conflicts(batch: JobBatch) -> None:
    for job in batch:
        for other in batch:
            if job is not other and (reason := job.conflict(other)):
                raise OptionError(reason)
