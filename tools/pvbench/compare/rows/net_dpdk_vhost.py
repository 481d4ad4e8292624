"""Small frames one way, from the backend to a guest, beside DPDK between two processes: a virtio
device, whose driver is DPDK's too."""

from pvdrivers.tools.pvbench.compare.competitors.dpdk import testpmd
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.ours_net import ours_net, packets_received

comparison = Comparison(
    workload="64 B frames received, polled",
    unit="packets/s",
    ours=ours_net(
        packets_received, direction="rx", frame_size="64", static_grants=True, mode="poll"
    ),
    baseline=testpmd("virtio-user to vhost"),
    target=0.5,
)
