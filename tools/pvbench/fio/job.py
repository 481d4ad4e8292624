"""What every disk's job has beside what jobs of all classes have."""

from msgspec import Struct

from pvdrivers.tools.pvbench.job.job import Job


class Reporting(Struct, frozen=True):
    """What the report says of a job, and where."""

    groupid: int = 0
    group: bool = False  # one entry for all of its group
    slat: bool = False  # whether each has percentiles
    clat: bool = True
    lat: bool = False


class FioJob(Job, frozen=True, kw_only=True):
    """One workload on one disk."""

    iodepth: int = 1
    numjobs: int = 1  # its clones
    first_clone: int = 1  # its number among all of a run
    begins_group: bool = False
    time_based: bool = False
    randseed: int = 1
    reporting: Reporting = Reporting()

    @property
    def changes_content(self) -> bool:
        """Whether it overwrites what is behind the device."""
        return False

    def describe_device(self) -> dict[str, object]:
        """What the report says of the device."""
        return {"mode": self.mode, "queues": self.queues}
