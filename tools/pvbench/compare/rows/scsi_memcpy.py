"""Large reads whose segments stand in lists (feature-sg-grant), beside memcpy by one core out of as
much memory into as many blocks."""

from pvdrivers.tools.pvbench.compare.competitors.bare import bare
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import SCSI, bytes_moved, ours
from pvdrivers.tools.pvbench.compare.scratch import FILE_SIZE

DEPTH = 8

comparison = Comparison(
    workload=f"SCSI disk, ram store, 128 KiB sequential read, QD{DEPTH}",
    unit="bytes/s",
    ours=ours(
        bytes_moved, device=SCSI, rw="read", bs="128k", iodepth=DEPTH, store="ram", mem="granted"
    ),
    baseline=bare("memcpy", FILE_SIZE, 128 << 10, DEPTH),
    target=0.7,
)
