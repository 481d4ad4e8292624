"""What is asked of a benchmark of a SCSI disk."""

from typing import Literal

from pvdrivers.ring.abi import Abi
from pvdrivers.scsi.features import SG_GRANT, SLOT_SEGMENTS
from pvdrivers.tools.pvbench.fio.job import FioJob

UnitKind = Literal["disk", "tape"]
CommandKind = Literal["tur", "mode-sense"]


class ScsiJob(FioJob, frozen=True, kw_only=True):
    """One workload on one logical unit, the only one of its host."""

    segments: int = SG_GRANT  # of a list; 0: there are none
    unit: UnitKind = "disk"
    command: CommandKind | None = None  # what each operation is, if it moves no blocks

    @property
    def max_length(self) -> int:
        """Bytes that a command can transfer."""
        return max(self.segments, SLOT_SEGMENTS) * Abi(self.abi).page_size

    def describe_device(self) -> dict[str, object]:
        return super().describe_device() | {
            "segments": self.segments,
            "unit": self.unit,
            "command": self.command,
        }
