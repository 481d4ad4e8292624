"""Three memory models, each a machine that runs straight-line paths of several threads.

A path is what one thread does when its loads return the values written in it. A machine performs a
load only when it returns that value, so that a path which cannot happen never ends. Loads may thus
run ahead of the branches that depend on them, as processors do, while stores may not.
"""

from collections.abc import Iterator
from typing import NamedTuple


class Op(NamedTuple):
    """One access to shared memory; `notify` and `wait` are the event channel and order all.

    A `wait` of value 1 ends with a notification, of value 0 it never does.
    """

    action: str  # load, store, fence, notify, wait
    variable: str = ""
    value: int = 0
    order: str = ""  # acquire, release or none
    decides: bool = False  # a load on which the thread branches
    text: str = ""


Path = tuple[Op, ...]
Memory = tuple[tuple[str, int], ...]
ORDERS_ALL = {"fence", "notify", "wait"}


class Step(NamedTuple):
    thread: int
    text: str


def read(memory: Memory, variable: str) -> int:
    return dict(memory)[variable]


def written(memory: Memory, variable: str, value: int) -> Memory:
    return tuple((name, value if name == variable else old) for name, old in memory)


def perform(op: Op, memory: Memory) -> Memory | None:
    """The memory after an op, or None when the path's value is not what memory gives."""
    if op.action == "store":
        return written(memory, op.variable, op.value)
    if op.action == "load":
        return memory if read(memory, op.variable) == op.value else None
    if op.action == "notify":
        return written(memory, "pending", 1)
    if op.action == "wait" and op.value:
        return written(memory, "pending", 0) if read(memory, "pending") else None
    return memory


class Reordering:
    """Operations of a thread happen in any order that `keeps` allows; memory is one for all."""

    State = tuple[tuple[int, ...], Memory]

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.paths = paths
        self.before = [
            [
                sum(1 << i for i in range(j) if self.keeps(path[i], path[j]))
                for j in range(len(path))
            ]
            for path in paths
        ]

    def keeps(self, first: Op, second: Op) -> bool:
        raise TypeError("a model says which order it keeps")

    def start(self, memory: Memory) -> "Reordering.State":
        return (0,) * len(self.paths), memory

    def finished(self, state: "Reordering.State", thread: int) -> bool:
        return state[0][thread] == (1 << len(self.paths[thread])) - 1

    def successors(self, state: "Reordering.State") -> Iterator[tuple[Step, "Reordering.State"]]:
        done, memory = state
        for thread, path in enumerate(self.paths):
            for i, op in enumerate(path):
                bit = 1 << i
                if done[thread] & bit or self.before[thread][i] & ~done[thread]:
                    continue
                forwarded = self.forwarded(thread, i, done[thread])
                if forwarded is None:
                    after = perform(op, memory)
                else:
                    after = memory if forwarded == op.value else None
                if after is not None:
                    now = tuple(d | bit if t == thread else d for t, d in enumerate(done))
                    yield Step(thread, op.text), (now, after)

    def forwarded(self, thread: int, i: int, done: int) -> int | None:
        """What a load takes from an earlier store of its own thread that has not happened yet."""
        path = self.paths[thread]
        if path[i].action == "load":
            for j in range(i - 1, -1, -1):
                if path[j].action == "store" and path[j].variable == path[i].variable:
                    return None if done >> j & 1 else path[j].value
        return None


class SequentiallyConsistent(Reordering):
    """Every operation happens in program order."""

    def keeps(self, first: Op, second: Op) -> bool:
        return True


class Weak(Reordering):
    """Only what a program asks for is ordered: IA-64, Arm and more.

    Kept are: fences; an acquire load before what follows, a release store after what precedes;
    accesses to one variable, but a load may take the thread's own earlier store before others see
    it; and no store before a branch that decides about it.
    """

    def keeps(self, first: Op, second: Op) -> bool:
        if first.action in ORDERS_ALL or second.action in ORDERS_ALL:
            return True
        if first.order == "acquire" or second.order == "release":
            return True
        if second.action == "store" and first.decides:
            return True
        forwarding = first.action == "store" and second.action == "load"
        return first.variable == second.variable and not forwarding


class TotalStoreOrder:
    """x86: program order, but each thread's stores wait in a buffer of its own."""

    Buffer = tuple[tuple[str, int], ...]
    State = tuple[tuple[tuple[int, Buffer], ...], Memory]

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.paths = paths

    def start(self, memory: Memory) -> "TotalStoreOrder.State":
        return ((0, ()),) * len(self.paths), memory

    def finished(self, state: "TotalStoreOrder.State", thread: int) -> bool:
        return state[0][thread] == (len(self.paths[thread]), ())

    def successors(
        self, state: "TotalStoreOrder.State"
    ) -> Iterator[tuple[Step, "TotalStoreOrder.State"]]:
        threads, memory = state
        for thread, (at, buffer) in enumerate(threads):

            def becomes(
                new: tuple[int, TotalStoreOrder.Buffer], memory: Memory, thread: int = thread
            ) -> TotalStoreOrder.State:
                return tuple(new if t == thread else o for t, o in enumerate(threads)), memory

            if buffer:
                variable, value = buffer[0]
                step = Step(thread, f"  (store buffer: {variable} = {value} becomes visible)")
                yield step, becomes((at, buffer[1:]), written(memory, variable, value))
            if at == len(self.paths[thread]):
                continue
            op = self.paths[thread][at]
            own = [value for variable, value in buffer if variable == op.variable]
            if op.action == "store":
                after: Memory | None = memory
                buffer = (*buffer, (op.variable, op.value))
            elif op.action == "load" and own:
                after = memory if own[-1] == op.value else None
            elif op.action in ORDERS_ALL and buffer:
                after = None
            else:
                after = perform(op, memory)
            if after is not None:
                yield Step(thread, op.text), becomes((at + 1, buffer), after)
