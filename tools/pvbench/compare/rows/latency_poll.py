"""How long one operation takes when both ends spin, beside a round trip of the bare ring."""

from pvdrivers.tools.pvbench.compare.competitors.bare import bare
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import median_latency, ours

comparison = Comparison(
    workload="null store, 512 B random read, QD1, polled: median latency",
    unit="ns",
    ours=ours(
        median_latency,
        rw="randread",
        bs="512",
        store="null",
        mode="poll",
        mem="granted",
        pinned=True,
    ),
    baseline=bare("ring-latency"),
    target=1.5,
    sense="<=",
)
