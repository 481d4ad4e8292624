"""What a comparison is made of, and what comes out of it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

Sense = Literal[">=", "<="]
Unit = Literal[
    "operations/s", "packets/s", "bytes/s", "ns", "s", "bytes", "per request", "per packet", "share"
]
Verdict = bool | Literal["unknown"]  # whether a target is met; unknown: the runs do not tell


class Curve(Struct, frozen=True):
    """A line of a plot of its own, such as throughput over the number of guests."""

    title: str
    x: str  # what the axes show
    y: str
    points: list[tuple[float, float]]


class Measured(Struct, frozen=True):
    """One run of one contender."""

    value: float  # in the comparison's unit
    latency: list[tuple[float, float]] = []  # ns, and the percentage of operations so fast
    stages: dict[str, float] = {}  # ns an operation spends, by stage
    curves: list[Curve] = []


@dataclass(frozen=True)
class Setting:
    """What a run is given. Files keep their content from run to run."""

    seconds: float
    memory_file: Path  # FILE_SIZE random bytes on a tmpfs
    disk_file: Path | None  # as many on a disk; None where no disk is
    say: Callable[[str], None] = lambda _: None  # shows what takes long


@dataclass(frozen=True)
class Need:
    """What a contender cannot be measured without. `missing` gives no words when it is there."""

    package: str | None  # Debian's, which brings it
    missing: Callable[[Setting], str | None]
    program: str | None = None  # whose version the report gives


@dataclass(frozen=True)
class Contender:
    """One of the two that are compared."""

    name: str
    measure: Callable[[Setting], Measured]
    needs: Sequence[Need] = ()


@dataclass(frozen=True)
class Comparison:
    """A row to be: ours and a baseline, and what their ratio should be.

    Without a baseline there is no ratio, and the target is one for our own value. `floor` is what
    ours should reach besides. `around` makes what all runs of both contenders share.
    """

    workload: str
    unit: Unit
    ours: Contender
    baseline: Contender | None = None
    target: float | None = None
    sense: Sense = ">="
    floor: float | None = None
    most_runs: int | None = None  # of what takes long and hardly varies
    around: Callable[[Setting], AbstractContextManager[object]] = nullcontext

    @property
    def needs(self) -> list[Need]:
        """What both contenders need."""
        contenders = [contender for contender in (self.ours, self.baseline) if contender]
        return list(dict.fromkeys(need for contender in contenders for need in contender.needs))

    def runs(self, wanted: int) -> int:
        """Runs of each contender."""
        return min(wanted, self.most_runs or wanted)


class Row(Struct, frozen=True, kw_only=True):
    """A comparison's outcome. What was not measured has no value, and says why in `reason`.

    `value`, `baseline_value` and `ratio` are of one pair of runs, the median by its ratio.
    """

    name: str
    purpose: str  # one sentence: what the row is for
    workload: str
    unit: Unit
    baseline: str | None = field(name="peer")
    value: float | None = None  # ours, in `unit`
    baseline_value: float | None = field(default=None, name="peer_value")
    ratio: float | None = None  # ours by the baseline's; None without a baseline
    target: float | None  # of the ratio; without a baseline of the value
    sense: Sense
    floor: float | None  # of the value
    met: Verdict | None = None  # None: not measured, or without a target
    doubt: str | None = None  # why `met` is unknown
    spread: tuple[float, float] | None = None  # lowest and highest run of what has the target
    reason: str | None = None
    failed: bool = False  # a contender was there and did not work
    ours: list[Measured] = []
    theirs: list[Measured] = []

    @property
    def judged(self) -> float | None:
        """What has the target: the ratio, or without a baseline the value."""
        return self.ratio if self.baseline else self.value
