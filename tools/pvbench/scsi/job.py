"""What is asked of a benchmark of a SCSI disk."""

from pvdrivers.ring.abi import Abi
from pvdrivers.scsi.features import SG_GRANT, SLOT_SEGMENTS
from pvdrivers.tools.pvbench.fio.job import FioJob


class ScsiJob(FioJob, frozen=True, kw_only=True):
    """One workload on one disk, the only one of its host."""

    segments: int = SG_GRANT  # of a list; 0: there are none

    @property
    def max_length(self) -> int:
        """Bytes that a command can transfer."""
        return max(self.segments, SLOT_SEGMENTS) * Abi(self.abi).page_size

    def describe_device(self) -> dict[str, object]:
        return super().describe_device() | {"segments": self.segments}
