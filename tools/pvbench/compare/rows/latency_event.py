"""How long one operation takes when both ends sleep, beside two processes that wake each other
through eventfds."""

from pvdrivers.tools.pvbench.compare.competitors.bare import bare
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import median_latency, ours

comparison = Comparison(
    workload="null store, 512 B random read, QD1, event: median latency",
    unit="ns",
    ours=ours(
        median_latency,
        rw="randread",
        bs="512",
        store="null",
        mode="event",
        mem="granted",
        pinned=True,
    ),
    baseline=bare("eventfd"),
    target=1.3,
    sense="<=",
)
