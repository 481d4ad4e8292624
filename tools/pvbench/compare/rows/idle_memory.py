"""What a device without work takes of the backend's memory, its ring not counted."""

from pvdrivers.tools.pvbench.compare.crowds import grow, needs_open_files, split_cpus
from pvdrivers.tools.pvbench.compare.model import Comparison, Measured, Setting, Side
from pvdrivers.tools.pvbench.crowd.crowd import Crowd

FEW, MANY = 50, 250  # guests: what a process takes once is left out


def measure(setting: Setting) -> Measured:
    plan = split_cpus()
    with Crowd(plan, MANY) as crowd:
        grow(crowd, FEW, setting)
        before = crowd.memory()
        grow(crowd, MANY, setting)
        after = crowd.memory()
    more = after.resident - after.rings - before.resident + before.rings
    return Measured(more / (plan.disks * (MANY - FEW)))


comparison = Comparison(
    workload="memory of an idle VBD beyond its ring",
    unit="bytes",
    ours=Side("pvdrivers", measure, [needs_open_files(8 * MANY)]),
    target=64 << 10,
    sense="<=",
    most_runs=3,
)
