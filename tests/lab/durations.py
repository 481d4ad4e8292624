"""How long the steps take. A busy machine stretches a step's seconds, so those of the processor
that QEMU has used stand beside them: they tell what a step costs."""

from __future__ import annotations

import os
import re

ENDED = re.compile(r"### (\w+) (?:passed|FAILED) after ([\d.]+) s")


def processor_seconds(pid: int) -> float:
    """What a process has used so far, in user and in kernel mode."""
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Durations:
    """Told every line of the console, it keeps those that end a step."""

    def __init__(self) -> None:
        self.steps: dict[str, tuple[float, float]] = {}  # seconds: of dom0's clock, the processor's
        self.used = 0.0  # processor seconds, when the last line came
        self._begun = 0.0  # the same, when the present step began

    def see(self, line: str, used: float) -> None:
        """A line, and the processor seconds that QEMU had used when it came."""
        self.used = used
        if ended := ENDED.match(line):
            self.steps[ended[1]] = float(ended[2]), used - self._begun
            self._begun = used
        elif line.startswith("###") and not self.steps:
            self._begun = used  # what comes before the first step is no step's

    def __str__(self) -> str:
        """The steps, those that cost most first."""
        by_cost = sorted(self.steps.items(), key=lambda item: -item[1][1])
        lines = [f"{used:7.1f} {seconds:8.1f}  {name}" for name, (seconds, used) in by_cost]
        total = [f"{sum(values):.1f}" for values in zip(*self.steps.values(), strict=True)]
        if total:
            lines.append(f"{total[1]:>7} {total[0]:>8}  all steps")
        return "\n".join(
            ["seconds of QEMU's processor time, of dom0's clock, and the step:", *lines]
        )
