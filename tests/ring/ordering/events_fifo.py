"""The handshakes of FIFO event channels as programs of a sender and of the guest that receives.

The guest's half is ring/event_channel.c, the sender's pvdrivers/sim/events/fifo.c. Ports 1 and 2
are of one queue; what a sender has to say is in `data`. The sender's tail is private to it.
"""

from collections.abc import Callable, Generator

from .event_sites import FIFO as TABLES
from .event_sites import TWO_LEVEL
from .events_2l import lost_event, read_data, take_upcall, upcall, write_data
from .explorer import Scenario
from .machines import Choice, Impossible, Memory, Op, Program, Steps, read
from .sites import Code, Weakening, swap

BITS = (0, 1, 2, 3)
LINK, PENDING, MASKED, LINKED, BUSY = 3, 4, 8, 16, 32  # of an event word, LINK with 2 bits

WORDS = (0, PENDING, PENDING | LINKED, LINKED, LINKED | 2)


class Fifo:
    def __init__(self, without: Weakening | None) -> None:
        self.code = Code((*TABLES, *TWO_LEVEL), without)

    def load(self, function: str, port: int, argument: str = "word", nth: int = 0) -> Steps:
        return (yield from self.code.load(function, argument, f"word {port}", WORDS, nth))

    def change(
        self,
        function: str,
        port: int,
        change: Callable[[int], int | None],
        argument: str = "word",
        nth: int = 0,
    ) -> Steps:
        word = f"word {port}"
        return (yield from self.code.change(function, argument, word, WORDS, change, nth))

    # ---- The sender -------------------------------------------------------------------------

    def set_pending(self, port: int, tail: list[int]) -> Steps:
        yield from self.change("set_pending_fifo", port, lambda word: word | PENDING)
        if (yield from self.load("set_pending_fifo", port)) & (MASKED | LINKED):
            return 0
        if (yield from self.change("link_port", port, lambda word: word | LINKED)) & LINKED:
            return 0
        if tail[0] == port:
            tail[0] = 0
        linked = tail[0] and (yield from self.set_link(tail[0], port))
        tail[0] = port
        if linked:
            return 0
        head = "&view->control_block->head[chn->priority]"
        yield from self.code.store("link_port", head, "head", port)
        return (yield from self.make_ready(1))

    def make_ready(self, queue: int) -> Steps:
        ready = "&view->control_block->ready"
        old = yield from self.code.change(
            "link_port", ready, "ready", BITS, lambda old: old | queue
        )
        if not old & queue:
            yield from upcall(self.code)
        return 0

    def try_set_link(self, at: int, seen: int, port: int) -> Generator[Op | Choice, int, list[int]]:
        """1 done, 0 not linked, -1 the guest changed the word; and the word as it was seen."""
        if not seen & LINKED:
            return [0, seen]
        linked = seen & ~(BUSY | LINK) | port
        found = yield from self.change("try_set_link", at, swap(seen, linked))
        return [1 if found == seen else -1, found]

    def set_link(self, at: int, port: int, attempts: int = 4) -> Steps:
        seen = yield from self.load("set_link", at)
        result, seen = yield from self.try_set_link(at, seen, port)
        if result >= 0:
            return result
        yield from self.change("set_link", at, lambda word: word | BUSY)
        seen = yield from self.load("set_link", at, nth=1)
        for _ in range(attempts):
            result, seen = yield from self.try_set_link(at, seen, port)
            if result == 1:
                return 1
            if result == 0:
                break
        yield from self.change("set_link", at, lambda word: word & ~BUSY, nth=1)
        return result != 0

    def hypercall_unmask(self, port: int, tail: list[int]) -> Steps:
        yield from self.change("unmask_fifo", port, lambda word: word & ~MASKED)
        if (yield from self.load("unmask_fifo", port)) & PENDING:
            yield from self.set_pending(port, tail)
        return 0

    # ---- The guest --------------------------------------------------------------------------

    def unmask(self, port: int, tail: list[int]) -> Steps:
        """fifo_unmask, and the hypercall when it asks for that."""
        seen = yield from self.load("fifo_unmask", port)
        for _ in range(4):
            if not seen & MASKED:
                return 0
            if seen & PENDING:
                return (yield from self.hypercall_unmask(port, tail))
            expected = seen & ~BUSY
            seen = yield from self.change("fifo_unmask", port, swap(expected, expected & ~MASKED))
            if seen == expected:
                return 0
        raise Impossible

    def clear_linked(self, port: int) -> Steps:
        seen = yield from self.load("clear_linked", port)
        for _ in range(4):
            old = seen
            seen = yield from self.change("clear_linked", port, swap(old, old & ~(LINKED | LINK)))
            if seen == old:
                return old & LINK
        raise Impossible

    def scan(self, head: list[int]) -> Generator[Op | Choice, int, list[int]]:
        yield from take_upcall(self.code)
        found: list[int] = []
        ready = yield from self.take_ready(0)
        for _ in range(4):
            if not ready:
                return found
            function = "&view->control_block->head[priority]"
            port = head[0] or (yield from self.code.load("pop_fifo", function, "head", (0, 1, 2)))
            head[0] = (yield from self.clear_linked(port)) if port else 0
            ready = int(head[0] != 0)
            if port and (yield from self.is_raised(port)):
                found.append(port)
            ready |= yield from self.take_ready(1)
        raise Impossible

    def is_raised(self, port: int) -> Steps:
        if not (yield from self.load("pv_event_is_pending", port, "bit.word")) & PENDING:
            return False
        return not (yield from self.load("pv_event_is_masked", port, "bit.word")) & MASKED

    def take_ready(self, nth: int) -> Steps:
        ready = "shared_ready"
        return (yield from self.code.change("scan_fifo", ready, "ready", BITS, lambda _: 0, nth))

    def put_back(self, queues: int) -> Steps:
        ready = "shared_ready"
        return (
            yield from self.code.change(
                "scan_fifo", ready, "ready", BITS, lambda old: old | queues, nth=2
            )
        )

    def mask(self, port: int) -> Steps:
        return (
            yield from self.change("pv_event_mask", port, lambda word: word | MASKED, "bit.word")
        )

    def receive(self, wanted: dict[int, int]) -> Program:
        head = [0]
        seen = dict.fromkeys(wanted, 0)
        for _ in range(4):
            if not (yield Choice(Op("wait", text="sleep until an upcall"), (0, 1))):
                return f"asleep having read {seen}"
            for port in (yield from self.scan(head)):
                yield from self.change(
                    "pv_event_clear_pending", port, lambda word: word & ~PENDING, "bit.word"
                )
                seen[port] = yield from read_data(port)
            if seen == wanted:
                return "done"
        raise Impossible


# ---- Scenarios --------------------------------------------------------------------------------


def sends(fifo: Fifo, tail: int, *what: tuple[int, int]) -> Program:
    at = [tail]
    for port, value in what:
        yield from write_data(port, value)
        yield from fifo.set_pending(port, at)
    return "done"


def puts_back(fifo: Fifo, nth: int) -> Program:
    yield from fifo.put_back((yield from fifo.take_ready(nth)))
    return "done"


def masks_and_receives(fifo: Fifo) -> Program:
    yield from fifo.mask(1)
    return (yield from fifo.receive({2: 1}))


def only(step: Callable[[], Steps]) -> Callable[[], Program]:
    def program() -> Program:
        yield from step()
        return "done"

    return program


def has(variable: str, bits: int, of: int) -> Callable[[tuple[str, ...], Memory], str]:
    def fault(outcomes: tuple[str, ...], memory: Memory) -> str:
        found = read(memory, variable) & of
        return "" if found == bits else f"{variable} has {found:b}, not {bits:b}, of {of:b}"

    return fault


def lost_or_left_over(outcomes: tuple[str, ...], memory: Memory) -> str:
    """Port 1 is masked, but its word must not look linked once the guest has passed it."""
    if outcomes[1] == "done" and read(memory, "word 1") & (LINKED | BUSY):
        return "a port that is in no queue looks linked, or busy"
    return lost_event(outcomes, memory)


def unmasks(fifo: Fifo) -> Program:
    yield from fifo.unmask(1, [0])
    return (yield from fifo.receive({1: 1}))


def scenario(
    title: str,
    programs: Callable[[Fifo], tuple[Callable[[], Program], Callable[[], Program]]],
    fault: Callable[[tuple[str, ...], Memory], str] = lost_event,
    **memory: int,
) -> Scenario:
    start = {"head": 0, "ready": 0, "upcall": 0, "pending": 0}
    start |= {"word 1": 0, "word 2": 0, "data 1": 0, "data 2": 0}
    start |= {name.replace("_", " "): value for name, value in memory.items()}
    return Scenario(
        ("sender", "guest"), lambda without: programs(Fifo(without)), start, fault, title
    )


QUEUED = {"word_1": PENDING | LINKED, "head": 1, "ready": 1, "upcall": 1, "pending": 1, "data_1": 1}
SCENARIOS = [
    scenario(
        "one port, twice",
        lambda f: (lambda: sends(f, 0, (1, 1), (1, 2)), lambda: f.receive({1: 2})),
    ),
    scenario(
        "a port behind another",
        lambda f: (lambda: sends(f, 1, (2, 1)), lambda: f.receive({1: 1, 2: 1})),
        **QUEUED,
    ),
    scenario(
        "the tail again",
        lambda f: (lambda: sends(f, 1, (1, 2)), lambda: f.receive({1: 2})),
        **QUEUED,
    ),
    scenario(
        "a tail that changes",
        lambda f: (lambda: sends(f, 1, (2, 1)), lambda: masks_and_receives(f)),
        lost_or_left_over,
        **QUEUED,
    ),
    *(
        scenario(
            f"another queue, look {nth + 1}",
            lambda f, nth=nth: (only(lambda: f.make_ready(2)), lambda: puts_back(f, nth)),
            has("ready", 3, 3),
            ready=1,
        )
        for nth in range(2)
    ),
    scenario(
        "a mask while busy",
        lambda f: (
            only(lambda: f.change("set_link", 1, lambda word: word & ~BUSY, nth=1)),
            only(lambda: f.mask(1)),
        ),
        has("word 1", MASKED, MASKED | BUSY),
        word_1=BUSY,
    ),
    scenario(
        "a mask",
        lambda f: (lambda: sends(f, 0, (1, 1)), only(lambda: f.mask(1))),
        has("word 1", MASKED | PENDING, MASKED | PENDING),
    ),
    scenario(
        "two vcpus",
        lambda f: (only(lambda: f.hypercall_unmask(1, [1])), only(lambda: f.clear_linked(1))),
        has("word 1", 0, LINKED),
        word_1=LINKED | MASKED,
    ),
    scenario(
        "unmasking", lambda f: (lambda: sends(f, 0, (1, 1)), lambda: unmasks(f)), word_1=MASKED
    ),
]
