"""Two queues on two processors, each with both its halves on one, beside one queue on one."""

from collections.abc import Iterator
from contextlib import contextmanager

from pvdrivers.tools.pvbench.compare.model import Comparison, Measured, Setting, Side
from pvdrivers.tools.pvbench.compare.needs import TWO_PROCESSORS
from pvdrivers.tools.pvbench.compare.processors import processors
from pvdrivers.tools.pvbench.crowd.crowd import Crowd
from pvdrivers.tools.pvbench.crowd.plan import Plan


class Queues:
    """Both sides: a machine with a guest each. Who shares a processor sleeps for the other."""

    one: Crowd
    two: Crowd

    @contextmanager
    def around(self, setting: Setting) -> Iterator[None]:
        both = processors()
        alone = both[:1]
        one = Plan(disks=1, front_cpus=alone, back_cpus=alone, mode="event")
        two = Plan(disks=2, front_cpus=both, back_cpus=both, mode="event")
        with Crowd(one, 1) as self.one, Crowd(two, 1) as self.two:
            self.one.grow(1)
            self.two.grow(1)
            yield

    def measure_two(self, setting: Setting) -> Measured:
        return Measured(self.two.run(1, setting.seconds).rate)

    def measure_one(self, setting: Setting) -> Measured:
        return Measured(self.one.run(1, setting.seconds).rate)


queues = Queues()

comparison = Comparison(
    workload="ram store, 4 KiB random read, QD32 on each queue, event",
    unit="operations/s",
    ours=Side("2 queues on 2 processors", queues.measure_two, [TWO_PROCESSORS]),
    peer=Side("1 queue on 1", queues.measure_one),
    target=1.6,
    around=queues.around,
)
