"""One copy for each read, as fio's mmap engine makes it out of a file's pages."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import ours
from pvdrivers.tools.pvbench.compare.peers.fio import fio

comparison = Comparison(
    workload="ram store, 4 KiB random read, QD32",
    unit="operations/s",
    ours=ours(rw="randread", iodepth=32, store="ram", mem="granted"),
    peer=fio("mmap", "memory", rw="randread", bs="4k"),
    target=0.9,
)
