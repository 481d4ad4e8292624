"""Looks through every interleaving of two programs for one that ends badly."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from .handshake import Ending, Program, Ring, back, checker, consumer, front, liar, paths, producer
from .machines import Memory, Reordering, Step, TotalStoreOrder, read
from .sites import Site

Model = type[Reordering] | type[TotalStoreOrder]


class Scenario(NamedTuple):
    """Two programs over shared variables."""

    names: tuple[str, str]
    programs: Callable[[Site | None], tuple[Callable[[], Program], Callable[[], Program]]]
    memory: dict[str, int]


HANDSHAKE = Scenario(
    ("producer", "consumer"),
    lambda without: (lambda: producer(Ring(without), 2), lambda: consumer(Ring(without), 2)),
    {"prod": 0, "event": 1, "pending": 0, "slot0": 0, "slot1": 0},
)
HOSTILE = Scenario(
    ("hostile producer", "consumer"),
    lambda without: (lambda: liar(Ring(without)), lambda: checker(Ring(without))),
    {"prod": 0, "event": 1, "pending": 0, "slot0": 0},
)
ROUND_TRIP = Scenario(
    ("front", "back"),
    lambda without: (
        lambda: front(Ring(without, "req_"), Ring(without, "rsp_"), 2),
        lambda: back(Ring(without, "req_"), Ring(without, "rsp_"), 2),
    ),
    {"req_prod": 0, "req_event": 0, "rsp_prod": 0, "rsp_event": 0, "pending": 0, "slot0": 0},
)
SCENARIOS = (HANDSHAKE, HOSTILE, ROUND_TRIP)


class Counterexample(NamedTuple):
    scenario: Scenario
    steps: list[Step]
    fault: str

    def __str__(self) -> str:
        left, right = self.scenario.names
        lines = [f"{left:<48}| {right}", "-" * 48 + "+" + "-" * 48]
        for step in self.steps:
            cells = ("", step.text) if step.thread else (step.text, "")
            lines.append(f"{cells[0]:<48}| {cells[1]}".rstrip())
        return "\n".join([*lines, f"=> {self.fault}"])


def fault(outcomes: tuple[str, str], memory: Memory) -> str:
    """What is wrong when both programs have ended so, or nothing."""
    for outcome in outcomes:
        if outcome.startswith("asleep with "):
            taken = int(outcome.split()[2])
            if not read(memory, "pending") and read(memory, "prod") > taken:
                return f"lost wake-up: {outcome} of {read(memory, 'prod')}, nothing pending"
        elif outcome != "done":
            return outcome
    return ""


def endings(scenario: Scenario, without: Site | None) -> Iterator[tuple[Ending, Ending]]:
    """Pairs of paths that fit each other: every value loaded is there at first or is stored."""
    one, other = (list(paths(program)) for program in scenario.programs(without))
    pairs = [(a, b) for a in one for b in other if fits(scenario.memory, a, b)]
    return iter(sorted(pairs, key=lambda pair: sum(len(ending.path) for ending in pair)))


def fits(initial: dict[str, int], *pair: Ending) -> bool:
    ops = [op for ending in pair for op in ending.path]
    there = {(op.variable, op.value) for op in ops if op.action == "store"} | set(initial.items())
    notified = sum(op.action == "notify" for op in ops)
    woken = sum(op.action == "wait" and op.value for op in ops)
    return woken <= notified and all(
        (op.variable, op.value) in there for op in ops if op.action == "load"
    )


def run(
    model: Model, scenario: Scenario, pair: tuple[Ending, Ending]
) -> Iterator[tuple[list[Step], Memory]]:
    """Every way in which both paths can end: the steps there (of one order) and the memory."""
    machine = model(tuple(ending.path for ending in pair))
    start = machine.start(tuple(scenario.memory.items()))
    came: dict[object, tuple[object, Step] | None] = {start: None}
    stack = [start]
    while stack:
        state = stack.pop()
        if machine.finished(state, 0) and machine.finished(state, 1):
            yield list(trace(came, state)), state[1]
        for step, after in machine.successors(state):
            if after not in came:
                came[after] = (state, step)
                stack.append(after)


def trace(came: dict[object, tuple[object, Step] | None], state: object) -> list[Step]:
    steps = []
    while (link := came[state]) is not None:
        state, step = link
        steps.append(step)
    return steps[::-1]


def counterexample(
    model: Model, scenario: Scenario, without: Site | None = None
) -> Counterexample | None:
    """An interleaving that ends badly, or None when there is none."""
    for pair in endings(scenario, without):
        outcomes = (pair[0].outcome, pair[1].outcome)
        if outcomes == ("done", "done"):
            continue
        for steps, memory in run(model, scenario, pair):
            if found := fault(outcomes, memory):
                return Counterexample(scenario, steps, found)
    return None


def reachable(model: Model, scenario: Scenario) -> set[str]:
    """How the second program ends, over everything that can happen."""
    return {
        pair[1].outcome
        for pair in endings(scenario, None)
        if next(run(model, scenario, pair), None) is not None
    }
