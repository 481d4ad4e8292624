"""Two queues on two processors, each with both its halves on one, beside one queue on one."""

from collections.abc import Iterator
from contextlib import contextmanager

from pvdrivers.tools.pvbench.compare.model import Comparison, Contender, Measured, Setting
from pvdrivers.tools.pvbench.compare.needs import TWO_PROCESSORS
from pvdrivers.tools.pvbench.compare.processors import processors
from pvdrivers.tools.pvbench.scale.guests import ManyGuests
from pvdrivers.tools.pvbench.scale.spec import ScaleSpec


class Queues:
    """Both contenders: a machine with a guest each. Threads that share a processor sleep."""

    one: ManyGuests
    two: ManyGuests

    @contextmanager
    def around(self, setting: Setting) -> Iterator[None]:
        both = processors()
        alone = both[:1]
        one = ScaleSpec(disks=1, front_cpus=alone, back_cpus=alone, mode="event")
        two = ScaleSpec(disks=2, front_cpus=both, back_cpus=both, mode="event")
        with ManyGuests(one, 1) as self.one, ManyGuests(two, 1) as self.two:
            self.one.add_guests(1)
            self.two.add_guests(1)
            yield

    def measure_two(self, setting: Setting) -> Measured:
        return Measured(self.two.run(1, setting.seconds).rate)

    def measure_one(self, setting: Setting) -> Measured:
        return Measured(self.one.run(1, setting.seconds).rate)


queues = Queues()

comparison = Comparison(
    workload="ram store, 4 KiB random read, QD32 on each queue, event",
    unit="operations/s",
    ours=Contender("2 queues on 2 processors", queues.measure_two, [TWO_PROCESSORS]),
    baseline=Contender("1 queue on 1", queues.measure_one),
    target=1.6,
    around=queues.around,
)
