"""The backend's memory for a network device without packets, its rings not counted."""

from pvdrivers.tools.pvbench.compare.model import Comparison, Contender, Measured, Setting
from pvdrivers.tools.pvbench.compare.needs import TWO_PROCESSORS
from pvdrivers.tools.pvbench.compare.scale import add_guests, needs_open_files, split_cpus
from pvdrivers.tools.pvbench.scale.guests import ManyGuests

FEW, MANY = 50, 250  # guests: what a process takes once is left out


def measure(setting: Setting) -> Measured:
    with ManyGuests(split_cpus("vif"), MANY) as many:
        add_guests(many, FEW, setting)
        before = many.memory()
        add_guests(many, MANY, setting)
        after = many.memory()
    more = after.resident - after.rings - before.resident + before.rings
    return Measured(more / (MANY - FEW))


comparison = Comparison(
    workload="memory of an idle VNIF beyond its rings",
    unit="bytes",
    ours=Contender("pvdrivers", measure, [TWO_PROCESSORS, needs_open_files(8 * MANY)]),
    target=64 << 10,
    sense="<=",
    most_runs=3,
)
