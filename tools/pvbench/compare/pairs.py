"""From pairs of runs to a ratio: A B A B, each A beside the B that follows it.

Something that slows the machine for a while slows both runs of a pair. So a row shows the pair
whose ratio is the median: its two values and their ratio belong together.
"""

from collections.abc import Sequence

from pvdrivers.tools.pvbench.compare.model import Comparison, Sense, Verdict
from pvdrivers.tools.pvbench.errors import BenchError

ABSURD = (
    3  # times the lowest pair: a highest one beyond it says that the runs measured something else
)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours by theirs, pair by pair. Each has as many runs as the other.

    BenchError: a baseline did nothing.
    """
    if any(value <= 0 for value in theirs):
        raise BenchError("a baseline's run has no result")
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def middle(values: Sequence[float], sense: Sense = ">=") -> int:
    """Where the median is; of two in the middle the worse one."""
    order = sorted(range(len(values)), key=lambda place: values[place], reverse=sense == "<=")
    return order[(len(order) - 1) // 2]


def reached(value: float, target: float, sense: Sense) -> bool:
    return value >= target if sense == ">=" else value <= target


def met(comparison: Comparison, judged: float, value: float) -> bool | None:
    """Whether the target is met, and the floor by our value; None without a target."""
    if comparison.target is None:
        return None
    enough = comparison.floor is None or value >= comparison.floor
    return enough and reached(judged, comparison.target, comparison.sense)


def too_wide(spread: tuple[float, float]) -> str | None:
    """Why the median says nothing: the runs are too far apart. None: they are not."""
    low, high = spread
    if high <= ABSURD * low:
        return None
    return f"the runs are {high / low:.0f} times apart" if low > 0 else "a run has no result"


def verdict(
    comparison: Comparison, judged: float, value: float, doubt: str | None
) -> Verdict | None:
    outcome = met(comparison, judged, value)
    return "unknown" if doubt and outcome is not None else outcome
