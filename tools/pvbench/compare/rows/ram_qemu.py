"""The same frontend before another backend; without persistent grants it cannot lend pages, so
the guest's data is copied to granted ones there."""

from pvdrivers.tools.pvbench.compare.competitors.qemu import qemu
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import ours

comparison = Comparison(
    workload="ram store, 4 KiB random read, QD32",
    unit="operations/s",
    ours=ours(rw="randread", iodepth=32, store="ram", mem="granted"),
    baseline=qemu(rw="randread", iodepth=32),
    target=8,
)
