"""A machine with 32 times the memory and with holes starts as fast."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.start import contender

comparison = Comparison(
    workload="a machine with holes and two domains: until it is there",
    unit="s",
    ours=contender(64, lambda start: start.seconds),
    baseline=contender(2, lambda start: start.seconds),
    target=1.2,
    sense="<=",
)
