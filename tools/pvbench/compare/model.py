"""What a comparison is made of, and what comes out of it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec import Struct

Sense = Literal[">=", "<="]
Unit = Literal["operations/s", "bytes/s", "ns", "s", "bytes", "per request", "share"]
Verdict = bool | Literal["unknown"]  # whether a target is met; unknown: the runs do not tell


class Curve(Struct, frozen=True):
    """A line of a plot of its own, such as throughput over the number of guests."""

    title: str
    x: str  # what the axes show
    y: str
    points: list[tuple[float, float]]


class Measured(Struct, frozen=True):
    """One run of one side."""

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
    say: Callable[[str], None] = lambda _: None  # is told what takes long


@dataclass(frozen=True)
class Need:
    """What a side cannot be measured without. `missing` gives no words when it is there."""

    package: str | None  # Debian's, which brings it
    missing: Callable[[Setting], str | None]
    program: str | None = None  # whose version the report gives


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    name: str
    measure: Callable[[Setting], Measured]
    needs: Sequence[Need] = ()


@dataclass(frozen=True)
class Comparison:
    """A row to be: ours and a peer, and what their ratio should be.

    Without a peer there is no ratio, and the target is one for our own value. `floor` is what ours
    should reach besides. What all runs of both sides have in common is made by `around`.
    """

    workload: str
    unit: Unit
    ours: Side
    peer: Side | None = None
    target: float | None = None
    sense: Sense = ">="
    floor: float | None = None
    most_runs: int | None = None  # of what takes long and hardly varies
    around: Callable[[Setting], AbstractContextManager[object]] = nullcontext

    @property
    def needs(self) -> list[Need]:
        """What both sides need."""
        sides = [side for side in (self.ours, self.peer) if side]
        return list(dict.fromkeys(need for side in sides for need in side.needs))

    def runs(self, wanted: int) -> int:
        """Runs of each side."""
        return min(wanted, self.most_runs or wanted)


class Row(Struct, frozen=True, kw_only=True):
    """A comparison's outcome. What was not measured has no value, and says why in `reason`.

    `value`, `peer_value` and `ratio` are of one pair of runs, the one in the middle by its ratio.
    """

    name: str
    purpose: str  # one sentence: what the row is for
    workload: str
    unit: Unit
    peer: str | None
    value: float | None = None  # ours, in `unit`
    peer_value: float | None = None
    ratio: float | None = None  # ours by the peer's; None without a peer
    target: float | None  # of the ratio; without a peer of the value
    sense: Sense
    floor: float | None  # of the value
    met: Verdict | None = None  # None: not measured, or without a target
    doubt: str | None = None  # why `met` is unknown
    spread: tuple[float, float] | None = None  # lowest and highest run of what has the target
    reason: str | None = None
    failed: bool = False  # a side was there and did not work
    ours: list[Measured] = []
    theirs: list[Measured] = []

    @property
    def judged(self) -> float | None:
        """What has the target: the ratio, or without a peer the value."""
        return self.ratio if self.peer else self.value
