"""What is shown on standard error while comparisons run."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pvdrivers.tools.pvbench.compare.model import Comparison, Row
from pvdrivers.tools.pvbench.compare.report import judged


class CompareProgress:
    """A bar on a terminal, and everywhere a line for each row that is done."""

    def __init__(self, comparisons: dict[str, Comparison], runs: int) -> None:
        self._console = Console(stderr=True)
        self._runs = runs
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
            refresh_per_second=2,  # this process shares the processors with what is measured
        )
        total = sum(self._sides(comparison) for comparison in comparisons.values())
        self._task = self._bar.add_task("", total=total)
        self._of_the_row = 0
        self._doing = ""

    def _sides(self, comparison: Comparison) -> int:
        return comparison.runs(self._runs) * (2 if comparison.baseline else 1)

    def begin(self, name: str) -> None:
        self._describe(name)

    def tick(self, name: str, contender: str) -> None:
        """A contender of a row is measured next."""
        self._describe(f"{name}: {contender}")
        self._of_the_row += 1
        if self._of_the_row > 1:
            self._bar.advance(self._task)

    def say(self, what: str) -> None:
        """What a contender is at, when that takes long."""
        self._bar.update(self._task, description=f"{self._doing}, {what}")

    def _describe(self, doing: str) -> None:
        self._doing = doing
        self._bar.update(self._task, description=doing)

    def done(self, row: Row, comparison: Comparison) -> None:
        left = self._sides(comparison) - max(self._of_the_row - 1, 0)
        self._bar.advance(self._task, left)
        self._of_the_row = 0
        words = row.reason or judged(row)
        if row.doubt:
            words += f", uncertain: {row.doubt}"
        self._console.print(f"{row.name}: {words}", markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.stop()
