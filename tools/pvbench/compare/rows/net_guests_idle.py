"""One guest's packets among others that are idle, beside the same guest alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from pvdrivers.tools.pvbench.compare.model import Comparison, Contender, Measured, Setting
from pvdrivers.tools.pvbench.compare.needs import TWO_PROCESSORS
from pvdrivers.tools.pvbench.compare.scale import add_guests, needs_open_files, split_cpus
from pvdrivers.tools.pvbench.scale.guests import ManyGuests

GUESTS = 1000
SIZE = 64  # bytes of a frame


class Guests:
    """Both contenders: one machine with one guest, and one with many."""

    alone: ManyGuests
    many: ManyGuests

    @contextmanager
    def around(self, setting: Setting) -> Iterator[None]:
        spec = split_cpus("vif")
        with ManyGuests(spec, 1) as self.alone, ManyGuests(spec, GUESTS) as self.many:
            self.alone.add_guests(1)
            add_guests(self.many, GUESTS, setting)
            yield

    def among_many(self, setting: Setting) -> Measured:
        return Measured(self.many.run(1, setting.seconds, SIZE).rate)

    def by_itself(self, setting: Setting) -> Measured:
        return Measured(self.alone.run(1, setting.seconds, SIZE).rate)


guests = Guests()

comparison = Comparison(
    workload=f"hairpin, {SIZE} B frames",
    unit="packets/s",
    ours=Contender(
        f"1 of {GUESTS} guests", guests.among_many, [TWO_PROCESSORS, needs_open_files(8 * GUESTS)]
    ),
    baseline=Contender("the only guest", guests.by_itself),
    target=0.9,
    around=guests.around,
)
