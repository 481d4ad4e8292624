"""What is asked of a benchmark: plain data that travels to its processes as JSON."""

from msgspec import Struct

from pvdrivers.poll.group import Mode

Sockets = tuple[str, str]  # of the machine and of the xenstore

# The percentiles fio reports.
PERCENTILES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99)


class Reporting(Struct, frozen=True):
    """What the report says of a job, and where."""

    groupid: int = 0
    group: bool = False  # one entry for all of its group
    percentiles: tuple[float, ...] = PERCENTILES
    slat: bool = False  # whether each has percentiles
    clat: bool = True
    lat: bool = False
    common: dict[str, str] = {}  # options of all jobs, as given


class Job(Struct, frozen=True, kw_only=True):
    """One workload on one device: what jobs of every class have."""

    name: str
    options: dict[str, str]  # as given, and the defaults of those not given
    iodepth: int = 1
    numjobs: int = 1  # its clones
    first_clone: int = 1  # its number among all of a run
    runtime_ns: int = 0
    ramp_ns: int = 0
    time_based: bool = False
    randseed: int = 1
    reporting: Reporting = Reporting()
    abi: int = 0
    queues: int = 1
    mode: Mode = "hybrid"
    cpus: tuple[int, int] | None = None  # the frontend's process and the backend's

    @property
    def changes_content(self) -> bool:
        """Whether it overwrites what is behind the device."""
        return False

    def conflict(self, other: "Job") -> str | None:
        """Why it cannot run at once with another job; None: it can."""
        return None

    def describe_device(self) -> dict[str, object]:
        """What the report says of the device."""
        return {"mode": self.mode, "queues": self.queues}
