"""All guests of a large host come at once, as when it has been started."""

from pvdrivers.tools.pvbench.compare.crowds import grow, needs_open_files, split_cpus
from pvdrivers.tools.pvbench.compare.model import Comparison, Measured, Setting, Side
from pvdrivers.tools.pvbench.compare.needs import TWO_PROCESSORS
from pvdrivers.tools.pvbench.crowd.crowd import Crowd

GUESTS = 1000


def measure(setting: Setting) -> Measured:
    with Crowd(split_cpus(), GUESTS) as crowd:
        return Measured(grow(crowd, GUESTS, setting))


comparison = Comparison(
    workload=f"{GUESTS} guests with 2 VBDs each: until all are connected",
    unit="s",
    ours=Side("pvdrivers", measure, [TWO_PROCESSORS, needs_open_files(8 * GUESTS)]),
    target=30,
    sense="<=",
    most_runs=2,
)
