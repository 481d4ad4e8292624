"""What is passed between the command line, the two halves of a benchmark, and the report.

Everything here is plain data: with `--processes` it travels as JSON.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from pvdrivers.poll.group import Mode
from pvdrivers.tools.pvbench.job.latency import Latency

RW = Literal[
    "read", "write", "randread", "randwrite", "rw", "readwrite", "randrw", "trim", "randtrim"
]
Backend = Literal["pvdrivers", "qemu"]
Distribution = Literal["random", "zipf", "pareto"]
StoreKind = Literal["null", "ram", "file", "python"]
Sockets = tuple[str, str]  # of the machine and of the xenstore
DIRECTIONS = ("read", "write", "trim")

# The percentiles fio reports.
PERCENTILES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99)
# The upper bounds of fio's latency distribution, ns.
LATENCY_BOUNDS = tuple(
    scale * bound
    for scale, bounds in (
        (1, (2, 4, 10, 20, 50, 100, 250, 500, 750, 1000)),
        (1000, (2, 4, 10, 20, 50, 100, 250, 500, 750, 1000)),
        (1000_000, (2, 4, 10, 20, 50, 100, 250, 500, 750, 1000, 2000)),
    )
    for bound in bounds
)


class Store(Struct, frozen=True):
    """Where the backend's sectors live."""

    kind: StoreKind
    size: int  # bytes
    path: str | None = None
    direct: bool = False  # O_DIRECT
    read_only: bool = False
    sector_size: int = 512


class Sizes(Struct, frozen=True):
    """How long one direction's operations are, bytes. Without shares: multiples of `min`."""

    min: int
    max: int
    shares: list[tuple[int, int]] = []  # size, percent


class Pace(Struct, frozen=True):
    """Limits of each of the job's clones; 0: none."""

    rate: tuple[int, int, int] = (0, 0, 0)  # bytes a second, by DIRECTIONS
    rate_iops: tuple[int, int, int] = (0, 0, 0)
    thinktime_ns: int = 0
    thinktime_blocks: int = 1


class Logs(Struct, frozen=True):
    """fio's log files: what their names begin with. None: not wanted."""

    bw: str | None = None
    iops: str | None = None
    lat: str | None = None
    window_ns: int = 0  # over which is averaged; 0: every operation has its line
    offsets: bool = False

    @property
    def wanted(self) -> bool:
        return not self.bw == self.iops == self.lat is None


class Reporting(Struct, frozen=True):
    """What the report says of a job, and where."""

    groupid: int = 0
    group: bool = False  # one entry for all of its group
    percentiles: tuple[float, ...] = PERCENTILES
    slat: bool = False  # whether each has percentiles
    clat: bool = True
    lat: bool = False
    common: dict[str, str] = {}  # options of all jobs, as given


class Job(Struct, frozen=True):
    """One workload on one device."""

    name: str
    rw: RW
    store: Store
    options: dict[str, str]  # as given, and the defaults of those not given
    bs: int = 4096  # bytes of an operation; with `sizes`, what all of them are multiples of
    sizes: list[Sizes] = []  # by DIRECTIONS
    iodepth: int = 1
    numjobs: int = 1  # its clones
    first_clone: int = 1  # its number among all of a run
    offset: int = 0
    size: int = 0  # bytes of the device that are used
    io_size: int = 0  # bytes after which each clone ends, times loops; 0: size
    loops: int = 1
    runtime_ns: int = 0
    ramp_ns: int = 0
    time_based: bool = False
    random_map: bool = True
    distribution: Distribution = "random"
    theta: float = 0.0  # of the distribution
    pace: Pace = Pace()
    logs: Logs = Logs()
    reporting: Reporting = Reporting()
    rwmixread: int = 50
    fsync: int = 0
    randseed: int = 1
    verify: bool = False
    expect_content: bool = False  # reads are checked against the store's file
    abi: int = 0
    queues: int = 1
    ring_page_order: int = 0
    persistent: bool = True
    indirect: int = 256
    trusted: bool = True
    mode: Mode = "hybrid"
    backend: Backend = "pvdrivers"
    granted_memory: bool = False  # data in the frontend's granted pages, not copied there
    cpus: tuple[int, int] | None = None  # the frontend's process and the backend's

    @property
    def max_bs(self) -> int:
        return max([self.bs, *(sizes.max for sizes in self.sizes)])

    @property
    def random(self) -> bool:
        return self.rw.startswith("rand")

    @property
    def trims(self) -> bool:
        return self.rw.endswith("trim")

    @property
    def read_percent(self) -> int:
        if self.rw in ("rw", "readwrite", "randrw"):
            return self.rwmixread
        return 100 if self.rw in ("read", "randread") else 0

    @property
    def reads(self) -> bool:
        return not self.trims and self.read_percent > 0

    @property
    def writes(self) -> bool:
        return not self.trims and self.read_percent < 100


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
    """What the frontend's side measured: of each clone, and of all together."""

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
