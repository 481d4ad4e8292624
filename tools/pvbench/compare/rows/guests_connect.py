"""Guests who come to a backend that has many already, beside those who come to one with few."""

from collections.abc import Iterator
from contextlib import contextmanager

from pvdrivers.tools.pvbench.compare.crowds import BATCH, grow, needs_open_files, split_cpus
from pvdrivers.tools.pvbench.compare.model import Comparison, Curve, Measured, Setting, Side
from pvdrivers.tools.pvbench.compare.needs import TWO_PROCESSORS
from pvdrivers.tools.pvbench.crowd.crowd import Crowd

FEW, MANY = 100, 900
STEP = 100  # guests from one point of the curve to the next
ROOM = 4000  # guests of either machine at most: a batch for each run


class Guests:
    """Both sides: two machines that grow by turns."""

    few: Crowd
    many: Crowd
    curve: Curve

    @contextmanager
    def around(self, setting: Setting) -> Iterator[None]:
        plan = split_cpus()
        with Crowd(plan, ROOM) as self.few, Crowd(plan, ROOM) as self.many:
            grow(self.few, FEW, setting)
            sizes = range(STEP, MANY + 1, STEP)
            points = []
            for guests in sizes:
                new = guests - self.many.guests
                points.append((float(guests), grow(self.many, guests, setting) / new))
            self.curve = Curve("connecting", "guests", "s for one more", points)
            yield

    def late(self, setting: Setting) -> Measured:
        return Measured(self._more(self.many, setting), curves=[self.curve])

    def early(self, setting: Setting) -> Measured:
        return Measured(self._more(self.few, setting))

    def _more(self, crowd: Crowd, setting: Setting) -> float:
        return grow(crowd, crowd.guests + BATCH, setting) / BATCH


guests = Guests()

comparison = Comparison(
    workload=f"{BATCH} more guests with 2 VBDs each: time for one",
    unit="s",
    ours=Side(f"after {MANY} guests", guests.late, [TWO_PROCESSORS, needs_open_files(10 * MANY)]),
    peer=Side(f"after {FEW}", guests.early),
    target=1.1,
    sense="<=",
    around=guests.around,
)
