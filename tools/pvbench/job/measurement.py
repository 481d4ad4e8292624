"""What a benchmark measured: of each clone of a job, of both halves, and over time.

Everything here is plain data: with `--processes` it travels as JSON.
"""

from collections.abc import Sequence

from msgspec import Struct

from pvdrivers.tools.pvbench.job.job import Job
from pvdrivers.tools.pvbench.job.latency import Latency

DIRECTIONS = ("read", "write", "trim")


class Direction(Struct, frozen=True):
    ios: int
    bytes: int
    slat: Latency
    clat: Latency
    lat: Latency


class Counts(Struct, frozen=True):
    """What one clone has done, by DIRECTIONS."""

    ios: list[int]
    bytes: list[int]


def _sums(lists: Sequence[Sequence[int]]) -> list[int]:
    return [sum(values) for values in zip(*lists, strict=True)]


class Progress(Struct, frozen=True):
    """Where a workload is now. `done`: finish will not wait."""

    phase: str
    done: bool
    clones: list[Counts]

    @property
    def ios(self) -> list[int]:
        return _sums([clone.ios for clone in self.clones])

    @property
    def bytes(self) -> list[int]:
        return _sums([clone.bytes for clone in self.clones])


class Clone(Struct, frozen=True):
    """What one of a job's clones did."""

    elapsed_ns: int
    directions: list[Direction]  # by DIRECTIONS
    syncs: int
    sync_lat: Latency
    depth_level: list[int]


class Measurement(Struct, frozen=True):
    """What the frontend's half measured: of each clone, and of all together."""

    clones: list[Clone]
    user_ns: int
    system_ns: int
    context_switches: int
    major_faults: int
    minor_faults: int
    depth_submit: list[int]
    depth_complete: list[int]
    sleeps: int
    verified: int
    verify_errors: int
    mismatch: str | None
    error: int  # 0 or an errno
    failure: str | None  # why the run ended early
    front: dict[str, int]  # struct pv_blkfront_stats over the measured run
    front_accounts: dict[str, int]  # what Xen would have charged, over the measured run
    back_accounts: dict[str, int]

    @property
    def elapsed_ns(self) -> int:
        return max(clone.elapsed_ns for clone in self.clones)

    @property
    def directions(self) -> list[Direction]:
        if len(self.clones) == 1:
            return self.clones[0].directions
        return [
            Direction(
                sum(part.ios for part in parts),
                sum(part.bytes for part in parts),
                Latency.merged(part.slat for part in parts),
                Latency.merged(part.clat for part in parts),
                Latency.merged(part.lat for part in parts),
            )
            for parts in zip(*(clone.directions for clone in self.clones), strict=True)
        ]

    @property
    def syncs(self) -> int:
        return sum(clone.syncs for clone in self.clones)

    @property
    def sync_lat(self) -> Latency:
        return Latency.merged(clone.sync_lat for clone in self.clones)

    @property
    def depth_level(self) -> list[int]:
        return _sums([clone.depth_level for clone in self.clones])


class BackMeasurement(Struct, frozen=True):
    """What the backend counted, from connection to end."""

    stats: dict[str, int]
    errors: dict[str, int]


class Sample(Struct, frozen=True):
    """IOPS and bytes per second of each clone in one interval, by DIRECTIONS."""

    iops: list[list[float]]
    bw: list[list[float]]


class Result(Struct, frozen=True):
    """A finished benchmark."""

    job: Job
    started: float  # seconds since the epoch
    front: Measurement
    back: BackMeasurement
    samples: list[Sample]
