"""Equal guests: how far the one that gets most or least is from their mean."""

import statistics

from pvdrivers.tools.pvbench.compare.model import Comparison, Contender, Curve, Measured, Setting
from pvdrivers.tools.pvbench.compare.needs import TWO_PROCESSORS
from pvdrivers.tools.pvbench.compare.scale import add_guests, needs_open_files, split_cpus
from pvdrivers.tools.pvbench.scale.guests import ManyGuests

GUESTS = 100


def measure(setting: Setting) -> Measured:
    with ManyGuests(split_cpus(), GUESTS) as many:
        add_guests(many, GUESTS, setting)
        got = sorted(many.run(GUESTS, setting.seconds).operations)
    mean = statistics.mean(got)
    points = [(float(rank), count / mean) for rank, count in enumerate(got, 1)]
    curve = Curve(f"{GUESTS} equal guests", "guest, by what it got", "share of the mean", points)
    return Measured(max(got[-1] - mean, mean - got[0]) / mean, curves=[curve])


comparison = Comparison(
    workload=f"ram store, 4 KiB random read, {GUESTS} guests: distance from the mean",
    unit="share",
    ours=Contender("pvdrivers", measure, [TWO_PROCESSORS, needs_open_files(8 * GUESTS)]),
    target=0.05,
    sense="<=",
)
