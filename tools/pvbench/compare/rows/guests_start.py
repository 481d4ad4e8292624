"""All guests of a large host connect at once, as after the host's start."""

from pvdrivers.tools.pvbench.compare.model import Comparison, Contender, Measured, Setting
from pvdrivers.tools.pvbench.compare.needs import TWO_PROCESSORS
from pvdrivers.tools.pvbench.compare.scale import add_guests, needs_open_files, split_cpus
from pvdrivers.tools.pvbench.scale.guests import ManyGuests

GUESTS = 1000


def measure(setting: Setting) -> Measured:
    with ManyGuests(split_cpus(), GUESTS) as many:
        return Measured(add_guests(many, GUESTS, setting))


comparison = Comparison(
    workload=f"{GUESTS} guests with 2 VBDs each: until all are connected",
    unit="s",
    ours=Contender("pvdrivers", measure, [TWO_PROCESSORS, needs_open_files(8 * GUESTS)]),
    target=30,
    sense="<=",
    most_runs=2,
)
