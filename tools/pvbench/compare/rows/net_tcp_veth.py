"""The kernel's TCP through a PV device and the two TAPs at its ends, beside the kernel alone, which
copies nothing on the way."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.real_net import RealNetwork
from pvdrivers.tools.pvbench.vnif.real.network import PV, VETH
from pvdrivers.tools.pvbench.vnif.real.path import veth_pair

network = RealNetwork("hybrid", VETH, veth_pair)

comparison = Comparison(
    workload="iperf3 -C cubic, guest to host, IPv4",
    unit="bytes/s",
    ours=network.tcp("pvdrivers", PV),
    baseline=network.tcp("veth pair", VETH),
    around=network.around,
)
