"""One copy for each read, as fio's mmap engine copies from a file's pages."""

from pvdrivers.tools.pvbench.compare.competitors.fio import fio
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import ours

comparison = Comparison(
    workload="ram store, 4 KiB random read, QD32",
    unit="operations/s",
    ours=ours(rw="randread", iodepth=32, store="ram", mem="granted"),
    baseline=fio("mmap", "memory", rw="randread", bs="4k"),
    target=0.9,
)
