"""The kernel's TCP with segmentation offload through a PV device and the two TAPs at its ends,
beside a bare switch between two TAPs that makes as many copies."""

from pvdrivers.tools.pvbench.compare.competitors.bare_switch import bare_switch
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.real_net import RealNetwork
from pvdrivers.tools.pvbench.vnif.real.network import BARE, PV

network = RealNetwork("hybrid", BARE, bare_switch)

comparison = Comparison(
    workload="iperf3 -C cubic, guest to host, IPv4",
    unit="bytes/s",
    ours=network.tcp("pvdrivers", PV),
    baseline=network.tcp("bare switch", BARE),
    target=0.8,
    around=network.around,
)
