"""How long one operation takes when both sides spin, beside a round trip of the bare ring."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import median_latency, ours
from pvdrivers.tools.pvbench.compare.peers.bare import bare

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
    peer=bare("ring-latency"),
    target=1.5,
    sense="<=",
)
