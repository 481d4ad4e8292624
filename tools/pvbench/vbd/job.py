"""What is asked of a benchmark of a virtual block device."""

from typing import Literal

from pvdrivers.tools.pvbench.fio.job import FioJob
from pvdrivers.tools.pvbench.job.job import ProfileName

Backend = Literal["pvdrivers", "qemu"]


class VbdJob(FioJob, frozen=True, kw_only=True):
    """One workload on one disk."""

    ring_page_order: int = 0
    persistent: bool = True
    indirect: int = 256
    trusted: bool = True
    backend: Backend = "pvdrivers"
    profile: ProfileName | None = None

    def describe_device(self) -> dict[str, object]:
        return super().describe_device() | {
            "ring_page_order": self.ring_page_order,
            "persistent": self.persistent,
            "indirect": self.indirect,
        }
