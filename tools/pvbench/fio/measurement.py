"""What a benchmark of a disk measured: of each clone of a job, and of all together.

Everything here is plain data: with `--processes` it travels as JSON.
"""

from msgspec import Struct

from pvdrivers.tools.pvbench.fio.job import FioJob
from pvdrivers.tools.pvbench.job.latency import Latency
from pvdrivers.tools.pvbench.job.measurement import Result, sums

DIRECTIONS = ("read", "write", "trim")


class Direction(Struct, frozen=True):
    ios: int
    bytes: int
    slat: Latency
    clat: Latency
    lat: Latency


class Clone(Struct, frozen=True):
    """What one of a job's clones did."""

    elapsed_ns: int
    directions: list[Direction]  # by DIRECTIONS
    syncs: int
    sync_lat: Latency
    depth_level: list[int]


class Measurement(Struct, frozen=True):
    """What the frontend's half measured."""

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
        return sums([clone.depth_level for clone in self.clones])


FioResult = Result[FioJob, Measurement]
