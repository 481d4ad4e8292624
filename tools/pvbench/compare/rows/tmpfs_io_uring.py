"""What the kernel's own asynchronous I/O does on the file that our backend serves."""

from pvdrivers.tools.pvbench.compare.competitors.fio import fio
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import ours

comparison = Comparison(
    workload="file on a tmpfs, 4 KiB random read, QD32",
    unit="operations/s",
    ours=ours(rw="randread", iodepth=32, file="memory", mem="granted"),
    baseline=fio("io_uring", "memory", rw="randread", bs="4k", iodepth=32),
    target=1.0,
)
