"""A command that the disk's thread carries out in Python (MODE SENSE)."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import SCSI, ours

comparison = Comparison(
    workload="SCSI disk, MODE SENSE(6), QD16",
    unit="operations/s",
    ours=ours(device=SCSI, command="mode-sense", iodepth=16, bs="512", store="null"),
    target=20_000,
)
