"""What a benchmark measured, of both halves and over time; a device class adds what its frontend's
half measured.

Everything here is plain data: with `--processes` it travels as JSON.
"""

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

from pvdrivers.tools.pvbench.job.job import Job

AnyJob = TypeVar("AnyJob", bound=Job)


class Counts(Struct, frozen=True):
    """What one clone has done, by the directions of its device class."""

    ios: list[int]
    bytes: list[int]


def sums(lists: Sequence[Sequence[int]]) -> list[int]:
    return [sum(values) for values in zip(*lists, strict=True)]


class Progress(Struct, frozen=True):
    """Where a workload is now. `done`: finish will not wait."""

    phase: str
    done: bool
    clones: list[Counts]

    @property
    def ios(self) -> list[int]:
        return sums([clone.ios for clone in self.clones])

    @property
    def bytes(self) -> list[int]:
        return sums([clone.bytes for clone in self.clones])


class FrontMeasurement(Protocol):
    """What the frontend's half measured, whatever the device class."""

    @property
    def elapsed_ns(self) -> int: ...

    @property
    def failure(self) -> str | None:
        """Why the run ended early."""


AnyMeasurement = TypeVar("AnyMeasurement", bound=FrontMeasurement)


class BackMeasurement(Struct, frozen=True):
    """What the backend counted, from connection to end."""

    stats: dict[str, int]
    errors: dict[str, int]


class Sample(Struct, frozen=True):
    """IOPS and bytes per second of each clone in one interval, by direction."""

    iops: list[list[float]]
    bw: list[list[float]]


class Result(Struct, Generic[AnyJob, AnyMeasurement], frozen=True):
    """A finished benchmark."""

    job: AnyJob
    started: float  # seconds since the epoch
    front: AnyMeasurement
    back: BackMeasurement
    samples: list[Sample]


AnyResult = Result[Any, Any]
