"""A machine with 32 times the memory and with holes takes no more of the host's memory."""

from pvdrivers.tools.pvbench.compare.model import Comparison
from pvdrivers.tools.pvbench.compare.start import contender

comparison = Comparison(
    workload="a machine with holes and two domains: memory of the host",
    unit="bytes",
    ours=contender(64, lambda start: start.bytes),
    baseline=contender(2, lambda start: start.bytes),
    target=1.2,
    sense="<=",
)
