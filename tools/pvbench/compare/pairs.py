"""From pairs of runs to a ratio: A B A B, each A beside the B that follows it.

Whatever slows the machine for a while slows both runs of a pair, so the median is taken of the
pairs' ratios, not of each side's values.
"""

import statistics
from collections.abc import Sequence

from pvdrivers.tools.pvbench.compare.model import Comparison, Sense
from pvdrivers.tools.pvbench.errors import BenchError


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours by theirs, pair by pair. Each has as many runs as the other.

    BenchError: a peer did nothing.
    """
    if any(value <= 0 for value in theirs):
        raise BenchError("a peer's run has no result")
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def middle_and_spread(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """The median, and the lowest and the highest value."""
    return statistics.median(values), (min(values), max(values))


def reached(value: float, target: float, sense: Sense) -> bool:
    return value >= target if sense == ">=" else value <= target


def met(comparison: Comparison, ratio: float, ours: Sequence[float]) -> bool | None:
    """Whether the target is met, and the floor by the median of our runs; None without a target."""
    if comparison.target is None:
        return None
    enough = comparison.floor is None or statistics.median(ours) >= comparison.floor
    return enough and reached(ratio, comparison.target, comparison.sense)
