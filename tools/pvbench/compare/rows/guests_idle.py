"""One guest at work among others that are idle, beside the same guest alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from pvdrivers.tools.pvbench.compare.model import Comparison, Contender, Curve, Measured, Setting
from pvdrivers.tools.pvbench.compare.needs import TWO_PROCESSORS
from pvdrivers.tools.pvbench.compare.scale import add_guests, needs_open_files, split_cpus
from pvdrivers.tools.pvbench.scale.guests import ManyGuests

SIZES = (1, 10, 100, 1000)
SMALL = 512  # bytes: what a read costs when hardly any data move
FILES = 8 * SIZES[-1]


class Guests:
    """Both contenders: one machine with one guest, and one with many."""

    alone: ManyGuests
    many: ManyGuests
    curves: list[Curve]

    @contextmanager
    def around(self, setting: Setting) -> Iterator[None]:
        spec = split_cpus()
        with ManyGuests(spec, 1) as self.alone, ManyGuests(spec, SIZES[-1]) as self.many:
            self.alone.add_guests(1)
            self.curves = self._measure_curves(setting)
            yield

    def _measure_curves(self, setting: Setting) -> list[Curve]:
        one, every, small = [], [], []
        for guests in SIZES:
            add_guests(self.many, guests, setting)
            setting.say(f"{guests} guests")
            one.append((float(guests), self.many.run(1, setting.seconds).rate))
            every.append((float(guests), self.many.run(guests, setting.seconds).rate))
            small.append((float(guests), self.many.run(guests, setting.seconds, SMALL).rate))
        return [
            Curve("one guest active, the others idle", "guests", "operations/s", one),
            Curve("all guests active", "guests", "operations/s", every),
            Curve(f"all guests active, {SMALL} B", "guests", "operations/s", small),
        ]

    def among_many(self, setting: Setting) -> Measured:
        return Measured(self.many.run(1, setting.seconds).rate, curves=self.curves)

    def by_itself(self, setting: Setting) -> Measured:
        return Measured(self.alone.run(1, setting.seconds).rate)


guests = Guests()

comparison = Comparison(
    workload="ram store, 4 KiB random read, QD32 on each of a guest's 2 VBDs",
    unit="operations/s",
    ours=Contender(
        f"1 of {SIZES[-1]} guests", guests.among_many, [TWO_PROCESSORS, needs_open_files(FILES)]
    ),
    baseline=Contender("the only guest", guests.by_itself),
    target=0.9,
    around=guests.around,
)
