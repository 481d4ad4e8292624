"""Looks through every interleaving of two programs for one that ends badly."""

import functools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .machines import (
    Memory,
    Program,
    Reordering,
    SequentiallyConsistent,
    Step,
    TotalStoreOrder,
    Weak,
)
from .sites import Weakening

Model = type[Reordering] | type[TotalStoreOrder]
MODELS: list[Model] = [SequentiallyConsistent, TotalStoreOrder, Weak]


@dataclass(frozen=True, eq=False)
class Scenario:
    """Two programs over shared variables, and what must not come of them."""

    names: tuple[str, str]
    programs: Callable[[Weakening | None], tuple[Callable[[], Program], Callable[[], Program]]]
    memory: dict[str, int]
    fault: Callable[[tuple[str, ...], Memory], str]  # "" when the end is a good one
    title: str = ""

    def __str__(self) -> str:
        return self.title or "+".join(self.names)


class Counterexample(NamedTuple):
    scenario: Scenario
    steps: list[Step]
    fault: str

    def __str__(self) -> str:
        left, right = self.scenario.names
        lines = [f"{left:<56}| {right}", "-" * 56 + "+" + "-" * 56]
        for step in self.steps:
            cells = ("", step.text) if step.thread else (step.text, "")
            if step.text:
                lines.append(f"{cells[0]:<56}| {cells[1]}".rstrip())
        return "\n".join([*lines, f"=> {self.fault}"])


class End(NamedTuple):
    """Where both programs have ended, and the steps there, of one order."""

    outcomes: tuple[str, ...]
    memory: Memory
    steps: Callable[[], list[Step]]


def ends(model: Model, scenario: Scenario, without: Weakening | None = None) -> Iterator[End]:
    """Every end there is, those that take the fewest steps first."""
    machine = model(scenario.programs(without))
    start = machine.start(tuple(scenario.memory.items()))
    came: dict[object, tuple[object, Step] | None] = {start: None}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        outcomes = [machine.outcome(state, thread) for thread in range(2)]
        if None not in outcomes:
            yield End(tuple(map(str, outcomes)), state[1], lambda at=state: trace(came, at))
        for step, after in machine.successors(state):
            if after not in came:
                came[after] = (state, step)
                queue.append(after)


def trace(came: dict[object, tuple[object, Step] | None], state: object) -> list[Step]:
    steps = []
    while (link := came[state]) is not None:
        state, step = link
        steps.append(step)
    return steps[::-1]


def counterexample(
    model: Model, scenario: Scenario, without: Weakening | None = None
) -> Counterexample | None:
    """An interleaving that ends badly, or None when there is none."""
    for end in ends(model, scenario, without):
        if found := scenario.fault(end.outcomes, end.memory):
            return Counterexample(scenario, end.steps(), found)
    return None


@functools.cache
def sites_used(scenario: Scenario) -> set[str]:
    """Function and primitive of the sites that a scenario passes."""
    return {
        step.text.partition("(")[0]
        for end in ends(TotalStoreOrder, scenario)
        for step in end.steps()
    }


def refutation(scenarios: list[Scenario], without: Weakening) -> Counterexample | None:
    """What goes wrong in one of the scenarios: a step in two is seen on any machine, an order that
    is missing on a weak one."""
    site = f"{without.site.function}: {without.site.primitive}"
    model: Model = SequentiallyConsistent if without.lacks == "step" else Weak
    for scenario in scenarios:
        if site in sites_used(scenario) and (found := counterexample(model, scenario, without)):
            return found
    return None


def reachable(model: Model, scenario: Scenario) -> set[tuple[str, ...]]:
    """How the programs end, over everything that can happen."""
    return {end.outcomes for end in ends(model, scenario)}
