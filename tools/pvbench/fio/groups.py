"""The groups of a report, and the numbers of clones."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from pvdrivers.tools.pvbench.fio.job import FioJob


def number(batches: Iterable[Sequence[FioJob]]) -> list[list[FioJob]]:
    """The jobs with their group's number, and with clones numbered through all of a run."""
    groupid = 0
    first_clone = 1
    members = 0  # of the group
    numbered: list[list[FioJob]] = []
    for batch in batches:
        numbered.append([])
        for job in batch:
            if job.begins_group and members:
                groupid, members = groupid + 1, 0
            reporting = replace(job.reporting, groupid=groupid)
            numbered[-1].append(replace(job, first_clone=first_clone, reporting=reporting))
            members += 1
            first_clone += job.numjobs
    return numbered
