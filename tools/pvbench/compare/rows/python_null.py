"""A store written in Python, beside ours in C; neither moves data."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import ours

comparison = Comparison(
    workload="null store in Python, 512 B random read, QD32",
    unit="operations/s",
    ours=ours(rw="randread", bs="512", iodepth=32, store="python", mem="granted"),
    baseline=ours(
        name="the null store in C", rw="randread", bs="512", iodepth=32, store="null", mem="granted"
    ),
    target=0.1,
    floor=400_000,
)
