"""What is passed between the command line, the two halves of a benchmark, and the report.

Everything here is plain data: with `--processes` it travels as JSON.
"""

from typing import Literal

from msgspec import Struct

RW = Literal[
    "read", "write", "randread", "randwrite", "rw", "readwrite", "randrw", "trim", "randtrim"
]
Mode = Literal["poll", "hybrid", "event"]
Backend = Literal["pvdrivers", "qemu"]
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


class Job(Struct, frozen=True):
    """One workload on one device."""

    name: str
    rw: RW
    store: Store
    options: dict[str, str]  # as on the command line
    bs: int = 4096
    iodepth: int = 1
    numjobs: int = 1
    offset: int = 0
    size: int = 0  # bytes of the device that are used
    runtime_ns: int = 0
    ramp_ns: int = 0
    time_based: bool = False
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


class Latency(Struct, frozen=True):
    """A latency histogram, ns."""

    count: int
    min: int
    max: int
    mean: float
    stddev: float
    percentiles: list[int]  # of PERCENTILES
    up_to: list[int]  # how many were at most each of LATENCY_BOUNDS


class Direction(Struct, frozen=True):
    ios: int
    bytes: int
    slat: Latency
    clat: Latency
    lat: Latency


class Progress(Struct, frozen=True):
    """Where a workload is now. `done`: finish will not wait."""

    phase: str
    done: bool
    ios: list[int]  # by DIRECTIONS
    bytes: list[int]


class Measurement(Struct, frozen=True):
    """What the frontend's side measured."""

    directions: list[Direction]  # by DIRECTIONS
    syncs: int
    sync_lat: Latency
    elapsed_ns: int
    user_ns: int
    system_ns: int
    context_switches: int
    major_faults: int
    minor_faults: int
    depth_level: list[int]
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


class BackMeasurement(Struct, frozen=True):
    """What the backend counted, from connection to end."""

    stats: dict[str, int]
    errors: dict[str, int]


class Sample(Struct, frozen=True):
    """IOPS and bytes per second of one interval, by DIRECTIONS."""

    seconds: float
    iops: list[float]
    bw: list[float]


class Result(Struct, frozen=True):
    """A finished benchmark."""

    job: Job
    started: float  # seconds since the epoch
    front: Measurement
    back: BackMeasurement
    samples: list[Sample]
