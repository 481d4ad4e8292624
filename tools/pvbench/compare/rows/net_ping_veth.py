"""An echo and its answer through a PV device whose ends sleep, and the TAPs at its ends, beside the
kernel alone."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.real_net import RealNetwork
from pvdrivers.tools.pvbench.vnif.real.network import PV, VETH
from pvdrivers.tools.pvbench.vnif.real.path import veth_pair

network = RealNetwork("event", VETH, veth_pair)

comparison = Comparison(
    workload="ping, IPv4, event: median round trip",
    unit="ns",
    ours=network.ping("pvdrivers", PV),
    baseline=network.ping("veth pair", VETH),
    target=2,
    sense="<=",
    around=network.around,
)
