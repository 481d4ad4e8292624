"""How often the two ends wake each other under load: each would be a hypercall on Xen."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours import notifications, ours

comparison = Comparison(
    workload="ram store, 4 KiB random read, QD32: notifications",
    unit="per request",
    ours=ours(notifications, rw="randread", iodepth=32, store="ram", mem="granted"),
    target=0.05,
    sense="<=",
)
