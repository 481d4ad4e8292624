"""The guests of a job as one frontend's half: the guest that is asked about, and its peer."""

from collections.abc import Sequence

from pvdrivers.tools.pvbench.job.measurement import Progress
from pvdrivers.tools.pvbench.job.run import FrontHalf
from pvdrivers.tools.pvbench.vnif.job import VnifJob
from pvdrivers.tools.pvbench.vnif.measurement import VnifMeasurement, together


class Guests:
    """All of a job's guests. Those that go on until they are stopped are, when the others end."""

    def __init__(self, jobs: Sequence[VnifJob], guests: Sequence[FrontHalf]) -> None:
        self._guests = guests
        pairs = zip(jobs, guests, strict=True)
        self._ending = [guest for job, guest in pairs if not job.until_stopped]

    def open(self) -> None:
        for guest in self._guests:
            guest.open()

    def connect(self) -> None:
        for guest in self._guests:
            guest.connect()

    def start(self) -> None:
        for guest in self._guests:
            guest.start()

    def go(self) -> None:
        """Those that go on until they are stopped begin before the others."""
        for guest in sorted(self._guests, key=self._ending.__contains__):
            guest.go()

    def progress(self) -> Progress:
        looks = [guest.progress() for guest in self._guests]
        if all(guest.progress().done for guest in self._ending):
            for guest in self._guests:
                guest.stop()
        phases = [look.phase for look in looks]
        phase = next((phase for phase in phases if phase != "done"), "done")
        clones = [clone for look in looks for clone in look.clones]
        return Progress(phase, all(look.done for look in looks), clones)

    def stop(self) -> None:
        """Whoever receives goes on until nobody sends."""
        for guest in self._ending:
            guest.stop()

    def measurement(self) -> VnifMeasurement:
        return together([guest.measurement() for guest in self._guests])

    def finish(self) -> VnifMeasurement:
        return together([guest.finish() for guest in self._guests])

    def close(self) -> None:
        """Whoever opened the guests closes them."""
