"""What a packet costs on its tx ring, beside a bare ring of netif's layout in C, without checks.
Both write each frame afresh into a page, and nobody copies it out."""

from pvdrivers.tools.pvbench.compare.competitors.bare import bare
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours_net import ours_net, packets_sent

SIZE = 64

comparison = Comparison(
    workload=f"null uplink, {SIZE} B frames, polled",
    unit="packets/s",
    ours=ours_net(packets_sent, direction="tx", frame_size=str(SIZE), mode="poll"),
    baseline=bare("net-tx", SIZE),
    target=0.5,
)
