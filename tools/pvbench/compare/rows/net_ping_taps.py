"""An echo and its answer through a PV device whose ends sleep, and the TAPs at its ends, beside a
bare switch between two TAPs, which sleeps as well."""

from pvdrivers.tools.pvbench.compare.competitors.bare_switch import bare_switch
from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.real_net import RealNetwork
from pvdrivers.tools.pvbench.vnif.real.network import BARE, PV

network = RealNetwork("event", BARE, bare_switch)

comparison = Comparison(
    workload="ping, IPv4, event: median round trip",
    unit="ns",
    ours=network.ping("pvdrivers", PV),
    baseline=network.ping("bare switch", BARE),
    target=2,
    sense="<=",
    around=network.around,
)
