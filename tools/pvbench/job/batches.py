"""From sections to jobs, and which of them run at once."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.job.command_line import Section, Settings, as_given
from pvdrivers.tools.pvbench.job.job import Job
from pvdrivers.tools.pvbench.job.options import JobOptions

JobBatch = list[Job]  # jobs that run at once
Convert = Callable[[Settings], JobOptions]


def make_batches(sections: Sequence[Section], convert: Convert) -> list[JobBatch]:
    """Jobs with what is common to them; a stonewall begins a batch. Raises OptionError."""
    common: Settings = {}
    batches: list[JobBatch] = [[]]
    groupid = 0
    first_clone = 1
    members = 0  # of the group
    for section in sections:
        if section.common:
            common |= section.settings
            continue
        try:
            options = convert(common | section.settings)
            if (options.stonewall or options.new_group) and members:
                groupid, members = groupid + 1, 0
            job = options.job()
        except OptionError as error:
            raise OptionError(f"{section.source}: {error}" if section.source else error) from None
        if options.stonewall and batches[-1]:
            batches.append([])
        reporting = replace(job.reporting, groupid=groupid, common=as_given(common))
        batches[-1].append(replace(job, first_clone=first_clone, reporting=reporting))
        members += 1
        first_clone += job.numjobs
    for batch in batches:
        _check_conflicts(batch)
    return batches


def _check_conflicts(batch: JobBatch) -> None:
    for job in batch:
        for other in batch:
            if job is not other and (reason := job.conflict(other)):
                raise OptionError(reason)
