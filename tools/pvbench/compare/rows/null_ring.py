"""Everything but the copies of data, beside a bare ring in C: 112-byte slots, blkif's four indices,
no checks."""

from pvdrivers.tools.pvbench.compare.competitors.bare import bare
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import ours

comparison = Comparison(
    workload="null store, 512 B random read, QD32, polled",
    unit="operations/s",
    ours=ours(
        rw="randread", bs="512", iodepth=32, store="null", mode="poll", mem="granted", pinned=True
    ),
    baseline=bare("ring"),
    target=0.5,
)
