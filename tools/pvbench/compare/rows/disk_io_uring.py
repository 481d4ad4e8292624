"""Writes that must reach a disk now and then."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import ours
from pvdrivers.tools.pvbench.compare.peers.fio import fio

comparison = Comparison(
    workload="file on a disk, 4 KiB random write, QD32, flush every 64",
    unit="operations/s",
    ours=ours(rw="randwrite", iodepth=32, fsync=64, file="disk", mem="granted"),
    peer=fio("io_uring", "disk", rw="randwrite", bs="4k", iodepth=32, fsync=64),
    target=1.0,
)
