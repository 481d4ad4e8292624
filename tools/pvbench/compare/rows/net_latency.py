"""How long a request takes to its answer when both ends spin, beside a frame's way over two bare
rings and back."""

from pvdrivers.tools.pvbench.compare.competitors.bare import bare
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours_net import median_answer, ours_net

SIZE = 64

comparison = Comparison(
    workload=f"hairpin, {SIZE} B, one request outstanding, polled: median latency",
    unit="ns",
    ours=ours_net(
        median_answer, requests=1, uplink="hairpin", frame_size=str(SIZE), batch=1, mode="poll"
    ),
    baseline=bare("net-latency", SIZE),
    sense="<=",
)
