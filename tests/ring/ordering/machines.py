"""Three memory models, each a machine that runs the programs of several threads.

A program is a generator of operations that is sent the values its loads return. Where a machine
lets operations run ahead of a load that stands before them, it guesses what that load will return,
and performs it only when it does: a wrong guess never ends. Loads may thus run ahead of the
branches that depend on them, as processors do, while stores may not.
"""

from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple


class Op(NamedTuple):
    """One access to shared memory; `notify` and `wait` are the event channel and order all.

    A `change` reads and writes in one step. A `wait` of value 1 ends with a notification, of value
    0 it never does.
    """

    action: str  # load, store, change, fence, notify, wait
    variable: str = ""
    value: int = 0  # loaded or stored; what a change found
    order: str = ""  # acquire, release, full or none
    decides: bool = False  # the thread branches on what was read
    text: str = ""
    becomes: int = 0  # what a change leaves


class Choice(NamedTuple):
    """An operation that returns a value, and the values that may be guessed."""

    op: Op
    values: tuple[int, ...]
    change: Callable[[int], int | None] | None = None  # None: nothing is written

    def returning(self, value: int) -> Op:
        op = self.op._replace(value=value, text=f"{self.op.text} -> {value}")
        if self.change is None:
            return op
        becomes = self.change(value)
        if becomes is None:
            return op._replace(action="load", order="")
        return op._replace(becomes=becomes)


Steps = Generator[Op | Choice, int, int]
Program = Generator[Op | Choice, int, str]
Memory = tuple[tuple[str, int], ...]
ORDERS_ALL = {"fence", "notify", "wait"}
WINDOW = 2  # how many loads of a thread may be guessed at a time


class Impossible(Exception):
    """The values returned contradict what one thread alone guarantees."""


class Step(NamedTuple):
    thread: int
    text: str


class Unrolled(NamedTuple):
    """A program as far as the values returned so far lead it."""

    path: tuple[Op, ...]
    choice: Choice | None  # what it does next, None at its end
    outcome: str  # what it returned there


class Thread:
    def __init__(self, program: Callable[[], Program]) -> None:
        self.program = program
        self.known: dict[tuple[int, ...], Unrolled | None] = {}

    def unroll(self, values: tuple[int, ...]) -> Unrolled | None:
        """None when the program says that this is impossible."""
        if values not in self.known:
            try:
                self.known[values] = follow(self.program(), values)
            except Impossible:
                self.known[values] = None
        return self.known[values]


def follow(program: Program, values: tuple[int, ...]) -> Unrolled:
    path: list[Op] = []
    left = list(values)
    try:
        step = next(program)
        while True:
            value = 0
            if isinstance(step, Choice):
                if not left:
                    return Unrolled(tuple(path), step, "")
                value = left.pop(0)
                step = step.returning(value)
            path.append(step)
            step = program.send(value)
    except StopIteration as end:
        return Unrolled(tuple(path), None, end.value)


def read(memory: Memory, variable: str) -> int:
    return dict(memory)[variable]


def written(memory: Memory, variable: str, value: int) -> Memory:
    return tuple((name, value if name == variable else old) for name, old in memory)


def returns(op: Op, memory: Memory) -> tuple[int, ...]:
    """What an operation may return now; what is no access returns nothing."""
    if op.action == "wait":
        return (0, 1) if read(memory, "pending") else (0,)
    return (read(memory, op.variable),) if op.variable else (0,)


def perform(op: Op, memory: Memory) -> Memory:
    if op.action == "store":
        return written(memory, op.variable, op.value)
    if op.action == "change":
        return written(memory, op.variable, op.becomes)
    if op.action == "notify":
        return written(memory, "pending", 1)
    if op.action == "wait" and op.value:
        return written(memory, "pending", 0)
    return memory


class Reordering:
    """Operations of a thread happen in any order that `keeps` allows; memory is one for all."""

    Progress = tuple[tuple[int, ...], int]  # values returned; a bit for each operation performed
    State = tuple[tuple[Progress, ...], Memory]

    def __init__(self, programs: tuple[Callable[[], Program], ...]) -> None:
        self.threads = [Thread(program) for program in programs]

    def keeps(self, first: Op, second: Op) -> bool:
        raise TypeError("a model says which order it keeps")

    def start(self, memory: Memory) -> "Reordering.State":
        return (((), 0),) * len(self.threads), memory

    def outcome(self, state: "Reordering.State", thread: int) -> str | None:
        values, done = state[0][thread]
        unrolled = self.threads[thread].unroll(values)
        if unrolled is None or unrolled.choice or done != (1 << len(unrolled.path)) - 1:
            return None
        return unrolled.outcome

    def successors(self, state: "Reordering.State") -> Iterator[tuple[Step, "Reordering.State"]]:
        progress, memory = state
        for thread in range(len(self.threads)):
            for step, own, after in self.advance(thread, progress[thread], memory):
                others = tuple(own if t == thread else p for t, p in enumerate(progress))
                yield Step(thread, step), (others, after)

    def advance(
        self, thread: int, progress: "Reordering.Progress", memory: Memory
    ) -> Iterator[tuple[str, "Reordering.Progress", Memory]]:
        values, done = progress
        unrolled = self.threads[thread].unroll(values)
        if unrolled is None:
            return
        path, choice = unrolled.path, unrolled.choice
        for i, op in enumerate(path):
            if not done >> i & 1 and self.is_free(path, i, op, done):
                forwarded = self.forwarded(path, i, op, done)
                found = (forwarded,) if forwarded is not None else returns(op, memory)
                if op.action in ("load", "change") and op.value not in found:
                    continue  # not what was guessed
                yield op.text, (values, done | 1 << i), perform(op, memory)
        if choice is None:
            return
        if self.is_free(path, len(path), choice.op, done):
            forwarded = self.forwarded(path, len(path), choice.op, done)
            found = (forwarded,) if forwarded is not None else returns(choice.op, memory)
            for value in found:
                op = choice.returning(value)
                yield op.text, ((*values, value), done | 1 << len(path)), perform(op, memory)
        if self.may_guess(path, choice, done):
            for value in choice.values:
                yield "", ((*values, value), done), memory

    def may_guess(self, path: tuple[Op, ...], choice: Choice, done: int) -> bool:
        """Whether anything can run ahead of this, and few enough guesses are open."""
        later = Op("load", "another variable")
        guessed = sum(
            op.variable != "" and op.action != "store" and not done >> i & 1
            for i, op in enumerate(path)
        )
        return choice.op.variable != "" and not self.keeps(choice.op, later) and guessed < WINDOW

    def is_free(self, path: tuple[Op, ...], i: int, op: Op, done: int) -> bool:
        return all(done >> j & 1 or not self.keeps(path[j], op) for j in range(i))

    def forwarded(self, path: tuple[Op, ...], i: int, op: Op, done: int) -> int | None:
        """What a load takes from an earlier store of its own thread that has not happened yet."""
        if op.action == "load":
            for j in range(i - 1, -1, -1):
                if path[j].action == "store" and path[j].variable == op.variable:
                    return None if done >> j & 1 else path[j].value
        return None


class SequentiallyConsistent(Reordering):
    """Every operation happens in program order."""

    def keeps(self, first: Op, second: Op) -> bool:
        return True


class Weak(Reordering):
    """Only what a program asks for is ordered: IA-64, Arm and more.

    Kept are: fences and changes that are full barriers; an acquire load before what follows, a
    release store after what precedes; accesses to one variable, but a load may take the thread's
    own earlier store before others see it; and no write before a branch that decides about it.
    """

    def keeps(self, first: Op, second: Op) -> bool:
        if first.action in ORDERS_ALL or second.action in ORDERS_ALL:
            return True
        if first.order in ("acquire", "full") or second.order in ("release", "full"):
            return True
        if second.action in ("store", "change") and first.decides:
            return True
        forwarding = first.action == "store" and second.action == "load"
        return first.variable == second.variable and not forwarding


class TotalStoreOrder:
    """x86: program order, but each thread's stores wait in a buffer of its own."""

    Buffer = tuple[tuple[str, int], ...]
    Progress = tuple[tuple[int, ...], int, Buffer]  # values returned, operations issued
    State = tuple[tuple[Progress, ...], Memory]

    def __init__(self, programs: tuple[Callable[[], Program], ...]) -> None:
        self.threads = [Thread(program) for program in programs]

    def start(self, memory: Memory) -> "TotalStoreOrder.State":
        return (((), 0, ()),) * len(self.threads), memory

    def outcome(self, state: "TotalStoreOrder.State", thread: int) -> str | None:
        values, at, buffer = state[0][thread]
        unrolled = self.threads[thread].unroll(values)
        if unrolled is None or unrolled.choice or at != len(unrolled.path) or buffer:
            return None
        return unrolled.outcome

    def successors(
        self, state: "TotalStoreOrder.State"
    ) -> Iterator[tuple[Step, "TotalStoreOrder.State"]]:
        progress, memory = state
        for thread in range(len(self.threads)):
            for step, own, after in self.advance(thread, progress[thread], memory):
                others = tuple(own if t == thread else p for t, p in enumerate(progress))
                yield Step(thread, step), (others, after)

    def advance(
        self, thread: int, progress: "TotalStoreOrder.Progress", memory: Memory
    ) -> Iterator[tuple[str, "TotalStoreOrder.Progress", Memory]]:
        values, at, buffer = progress
        if buffer:
            variable, value = buffer[0]
            text = f"  (store buffer: {variable} = {value} becomes visible)"
            yield text, (values, at, buffer[1:]), written(memory, variable, value)
        unrolled = self.threads[thread].unroll(values)
        if unrolled is None:
            return
        if at < len(unrolled.path):
            op = unrolled.path[at]
            if op.action == "store":
                yield op.text, (values, at + 1, (*buffer, (op.variable, op.value))), memory
            elif not buffer:
                yield op.text, (values, at + 1, ()), perform(op, memory)
        elif choice := unrolled.choice:
            own = [value for variable, value in buffer if variable == choice.op.variable]
            if choice.op.action != "load" and buffer:
                return
            for value in (own[-1],) if own else returns(choice.op, memory):
                op = choice.returning(value)
                yield op.text, ((*values, value), at + 1, buffer), perform(op, memory)
