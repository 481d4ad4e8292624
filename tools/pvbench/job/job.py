"""What is asked of a benchmark: plain data that travels to its processes as JSON."""

from typing import Literal

from msgspec import Struct

from pvdrivers.poll.group import Mode

Sockets = tuple[str, str]  # of the machine and of the xenstore
ProfileName = Literal["linux", "windows", "ia64"]  # of a guest's driver

# The percentiles fio reports.
PERCENTILES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99)


class Job(Struct, frozen=True, kw_only=True):
    """One workload on one device: what jobs of every class have."""

    name: str
    options: dict[str, str]  # as given, and the defaults of those not given
    common: dict[str, str] = {}  # options of all jobs, as given
    runtime_ns: int = 0
    ramp_ns: int = 0
    percentiles: tuple[float, ...] = PERCENTILES  # that the report has
    abi: int = 0
    queues: int = 1
    mode: Mode = "hybrid"
    cpus: tuple[int, int] | None = None  # the frontend's process and the backend's

    @property
    def unit(self) -> str:
        """What a second's worth of it is called."""
        return "IOPS"

    def conflict(self, other: "Job") -> str | None:
        """Why it cannot run at once with another job; None: it can."""
        return None
