"""Writes with a flush after every 64; both contenders flush equally often."""

from pvdrivers.tools.pvbench.compare.competitors.fio_log import fio_writes
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import ours

comparison = Comparison(
    workload="file on a disk, 4 KiB random write, QD32, flush every 64",
    unit="operations/s",
    ours=ours(rw="randwrite", iodepth=32, fsync=64, file="disk", mem="granted"),
    baseline=fio_writes("io_uring", block=4096, writes_per_flush=64, iodepth=32),
    target=1.0,
)
