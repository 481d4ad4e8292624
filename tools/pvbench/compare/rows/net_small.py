"""Small frames through two rings with all copies, beside two bare rings in C with the same copies
of as fresh a payload. The backend keeps the guest's pages mapped, and copies from and to them."""

from pvdrivers.tools.pvbench.compare.competitors.bare import bare
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours_net import ours_net, packets_received

SIZE = 64

comparison = Comparison(
    workload=f"hairpin, {SIZE} B frames, polled",
    unit="packets/s",
    ours=ours_net(
        packets_received,
        direction="both",
        uplink="hairpin",
        frame_size=str(SIZE),
        static_grants=True,
        mode="poll",
    ),
    baseline=bare("net", SIZE),
    target=0.6,
)
