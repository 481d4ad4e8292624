"""How often the two ends of a network device wake each other under load: each would be a hypercall
on Xen."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours_net import notifications, ours_net

comparison = Comparison(
    workload="hairpin, 64 B frames: notifications",
    unit="per packet",
    ours=ours_net(notifications, direction="both", uplink="hairpin"),
    target=0.05,
    sense="<=",
)
