"""The entries of a report: one for each clone, or one for a group of jobs."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from msgspec.structs import replace

from pvdrivers.tools.pvbench.fio.measurement import FioResult, Measurement
from pvdrivers.tools.pvbench.job.counters import total
from pvdrivers.tools.pvbench.job.measurement import BackMeasurement, Sample


def entries_of(results: Sequence[FioResult]) -> list[FioResult]:
    """As fio has it: jobs with group_reporting that follow each other in a group are one entry,
    under the name of the first."""
    entries: list[FioResult] = []

    def key(result: FioResult) -> tuple[int, bool]:
        return result.job.reporting.groupid, result.job.reporting.group

    for (_, group), members in groupby(results, key):
        if group:
            entries.append(_merged(list(members)))
        else:
            entries += [clone for result in members for clone in _clones(result)]
    return entries


def _clones(result: FioResult) -> Iterable[FioResult]:
    """What is counted for all clones together, because one thread drives them, is shared evenly."""
    count = len(result.front.clones)
    if count == 1:
        return [result]
    front = result.front
    return [
        replace(
            result,
            front=replace(
                front,
                clones=[clone],
                user_ns=front.user_ns // count,
                system_ns=front.system_ns // count,
                context_switches=front.context_switches // count,
                major_faults=front.major_faults // count,
                minor_faults=front.minor_faults // count,
            ),
            samples=[Sample([s.iops[index]], [s.bw[index]]) for s in result.samples],
        )
        for index, clone in enumerate(front.clones)
    ]


def _columns(rows: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=True)]


def _merged(results: Sequence[FioResult]) -> FioResult:
    if len(results) == 1:
        return results[0]
    fronts = [result.front for result in results]
    samples = zip(*(result.samples for result in results), strict=False)
    return FioResult(
        job=results[0].job,
        started=results[0].started,
        front=Measurement(
            clones=[clone for front in fronts for clone in front.clones],
            user_ns=sum(front.user_ns for front in fronts),
            system_ns=sum(front.system_ns for front in fronts),
            context_switches=sum(front.context_switches for front in fronts),
            major_faults=sum(front.major_faults for front in fronts),
            minor_faults=sum(front.minor_faults for front in fronts),
            depth_submit=_columns([front.depth_submit for front in fronts]),
            depth_complete=_columns([front.depth_complete for front in fronts]),
            sleeps=sum(front.sleeps for front in fronts),
            verified=sum(front.verified for front in fronts),
            verify_errors=sum(front.verify_errors for front in fronts),
            mismatch=next((front.mismatch for front in fronts if front.mismatch), None),
            error=next((front.error for front in fronts if front.error), 0),
            failure=next((front.failure for front in fronts if front.failure), None),
            front=total(front.front for front in fronts),
            front_accounts=total(front.front_accounts for front in fronts),
            back_accounts=total(front.back_accounts for front in fronts),
        ),
        back=BackMeasurement(
            total(result.back.stats for result in results),
            total(result.back.errors for result in results),
        ),
        samples=[
            Sample([row for s in part for row in s.iops], [row for s in part for row in s.bw])
            for part in samples
        ],
    )
