"""A disk of another process's memory: the same service over a Unix socket."""

from pvdrivers.tools.pvbench.compare.competitors.nbd import fio_nbd
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import ours

comparison = Comparison(
    workload="ram store, 4 KiB random read, QD32",
    unit="operations/s",
    ours=ours(rw="randread", iodepth=32, store="ram", mem="granted"),
    baseline=fio_nbd(rw="randread", bs="4k", iodepth=32),
    target=12,
)
