"""What is asked of a benchmark of a disk, whatever its device class."""

from typing import Literal

from msgspec import Struct, field

from pvdrivers.tools.pvbench.job.job import Job

RW = Literal[
    "read", "write", "randread", "randwrite", "rw", "readwrite", "randrw", "trim", "randtrim"
]
Distribution = Literal["random", "zipf", "pareto"]
StoreKind = Literal["null", "ram", "file", "python"]


class StoreSpec(Struct, frozen=True):
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

    rate: tuple[int, int, int] = (0, 0, 0)  # bytes a second, for reads, writes and trims
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
    slat: bool = False  # whether each has percentiles
    clat: bool = True
    lat: bool = False


class FioJob(Job, frozen=True, kw_only=True):
    """One workload on one disk."""

    rw: RW
    store: StoreSpec
    iodepth: int = 1
    numjobs: int = 1  # its clones
    first_clone: int = 1  # its number among all of a run
    begins_group: bool = False
    time_based: bool = False
    randseed: int = 1
    reporting: Reporting = Reporting()
    bs: int = 4096  # bytes of an operation; with `sizes`, what all of them are multiples of
    sizes: list[Sizes] = field(default_factory=list)  # for reads, writes and trims
    offset: int = 0
    size: int = 0  # bytes of the device that are used
    io_size: int = 0  # bytes after which each clone ends, times loops; 0: size
    loops: int = 1
    random_map: bool = True
    distribution: Distribution = "random"
    theta: float = 0.0  # of the distribution
    pace: Pace = Pace()
    logs: Logs = Logs()
    rwmixread: int = 50
    fsync: int = 0
    verify: bool = False
    expect_content: bool = False  # reads are checked against the store's file
    granted_memory: bool = False  # data in the frontend's granted pages, not copied there

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

    @property
    def changes_content(self) -> bool:
        """Whether it overwrites what is behind the device."""
        return self.writes or self.trims

    def conflict(self, other: Job) -> str | None:
        if not isinstance(other, FioJob):
            return None
        shared = self.store.path is not None and self.store.path == other.store.path
        if shared and self.verify and other.changes_content:
            return (
                f"{self.name} cannot verify {self.store.path} while {other.name} writes to it; "
                "stonewall lets one run after the other"
            )
        return None

    def describe_device(self) -> dict[str, object]:
        """What the report says of the device."""
        return {"store": self.store.kind, "mode": self.mode, "queues": self.queues}
