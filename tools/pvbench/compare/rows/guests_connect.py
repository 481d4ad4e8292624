"""Guests that connect to a backend with many guests, beside guests that connect to one with few."""

from collections.abc import Iterator
from contextlib import contextmanager

from pvdrivers.tools.pvbench.compare.model import Comparison, Contender, Curve, Measured, Setting
from pvdrivers.tools.pvbench.compare.needs import TWO_PROCESSORS
from pvdrivers.tools.pvbench.compare.scale import BATCH, add_guests, needs_open_files, split_cpus
from pvdrivers.tools.pvbench.scale.guests import ManyGuests

FEW, MANY = 100, 900
STEP = 100  # guests from one point of the curve to the next
ROOM = 4000  # guests of either machine at most: a batch for each run


class Guests:
    """Both contenders: two machines, to which guests are added alternately."""

    few: ManyGuests
    many: ManyGuests
    curve: Curve

    @contextmanager
    def around(self, setting: Setting) -> Iterator[None]:
        spec = split_cpus()
        with ManyGuests(spec, ROOM) as self.few, ManyGuests(spec, ROOM) as self.many:
            add_guests(self.few, FEW, setting)
            sizes = range(STEP, MANY + 1, STEP)
            points = []
            for guests in sizes:
                new = guests - self.many.guests
                points.append((float(guests), add_guests(self.many, guests, setting) / new))
            self.curve = Curve("connecting", "guests", "s for one more", points)
            yield

    def late(self, setting: Setting) -> Measured:
        return Measured(self._more(self.many, setting), curves=[self.curve])

    def early(self, setting: Setting) -> Measured:
        return Measured(self._more(self.few, setting))

    def _more(self, many: ManyGuests, setting: Setting) -> float:
        return add_guests(many, many.guests + BATCH, setting) / BATCH


guests = Guests()

comparison = Comparison(
    workload=f"{BATCH} more guests with 2 VBDs each: time for one",
    unit="s",
    ours=Contender(
        f"after {MANY} guests", guests.late, [TWO_PROCESSORS, needs_open_files(10 * MANY)]
    ),
    baseline=Contender(f"after {FEW}", guests.early),
    target=1.1,
    sense="<=",
    around=guests.around,
)
