"""The processor time that other programs took while a row was measured."""

import os
import time
from pathlib import Path

QUIET_SHARE = 0.1  # of a processor's time, on average; a quiet system's housekeeping takes less
SHORTEST = 0.5  # seconds: the kernel counts in hundredths, so less says nothing

STAT = Path("/proc/stat")
IDLE = (3, 4)  # of the columns: idle, iowait
STEAL = 7
COLUMNS = 8  # the guest columns behind them are part of the first ones


class OtherLoad:
    """Others' processor time since its creation: time in use that neither this process nor its
    children used, and time that the host gave to others (steal)."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._all, self._stolen = busy_seconds(STAT.read_text())
        self._own = own_seconds()

    def doubt(self) -> str | None:
        """Why the figures are uncertain; None: they are not. Children must have ended."""
        elapsed = time.monotonic() - self._start
        everyone, stolen = busy_seconds(STAT.read_text())
        own = own_seconds() - self._own
        return words(everyone - self._all - own, stolen - self._stolen, elapsed)


def busy_seconds(stat: str) -> tuple[float, float]:
    """All processors' time in use, and what the host took of it, in seconds (proc(5))."""
    ticks = [int(text) for text in stat.split("\n", 1)[0].split()[1 : 1 + COLUMNS]]
    second = os.sysconf("SC_CLK_TCK")
    stolen = ticks[STEAL]
    busy = sum(ticks) - sum(ticks[column] for column in IDLE) - stolen
    return busy / second, stolen / second


def own_seconds() -> float:
    """Of this process and its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def words(others: float, stolen: float, elapsed: float) -> str | None:
    if elapsed < SHORTEST:
        return None
    for seconds, who in ((stolen, "the host"), (others, "other programs")):
        if seconds > QUIET_SHARE * elapsed:
            return f"{who} took {seconds / elapsed:.2g} processors meanwhile"
    return None
