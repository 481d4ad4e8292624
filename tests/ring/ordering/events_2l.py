"""The handshakes of 2-level event channels as programs of a sender and of the guest that receives.

The guest's half is ring/event_channel.c, the sender's pvdrivers/sim/. Ports 1 and 2 are in
different words of the bitmaps, port 3 is in the first beside port 1; what a sender has to say is in
`data`.
"""

from collections.abc import Callable, Generator

from .event_sites import TWO_LEVEL as TABLES
from .explorer import Scenario
from .machines import Choice, Impossible, Memory, Op, Program, Steps, read
from .sites import Code, Weakening

BITS = (0, 1, 2, 3)
PORTS = {1: (1, 1), 2: (2, 1), 3: (1, 2)}  # word, which is also its bit in the selector; bit in it


def write_data(port: int, value: int) -> Steps:
    yield Op("store", f"data {port}", value, text=f"write {value} for port {port}")
    return 0


def read_data(port: int) -> Steps:
    text = f"read what is for port {port}"
    return (yield Choice(Op("load", f"data {port}", text=text), (0, 1, 2)))


def upcall(code: Code) -> Steps:
    """send_upcall: the byte in shared_info, and the eventfd."""
    byte = "pv_event_upcall_pending(view)"
    yield from code.change("send_upcall", byte, "upcall", (0, 1), lambda _: 1)
    yield Op("notify", text="upcall")
    return 0


def take_upcall(code: Code) -> Steps:
    """The beginning of pv_event_scan."""
    if (yield from code.load("pv_event_scan", "upcall_pending", "upcall", (0, 1))):
        yield from code.change("pv_event_scan", "upcall_pending", "upcall", (0, 1), lambda _: 0)
    return 0


def sleep(by_byte: bool) -> Steps:
    """False when the guest is never woken: it waits for an upcall, or looks at the byte for one."""
    if by_byte:
        look = Op("load", "upcall", order="acquire", decides=True, text="look for an upcall")
        return (yield Choice(look, (0, 1)))
    return (yield Choice(Op("wait", text="sleep until an upcall"), (0, 1)))


class TwoLevel:
    """The words as both ends see them."""

    def __init__(self, without: Weakening | None) -> None:
        self.code = Code(TABLES, without)

    # ---- The sender -------------------------------------------------------------------------

    def send(self, port: int) -> Steps:
        word, bit = PORTS[port]
        yield from self.code.fence("is_pending_already")
        events = f"events {word}"
        if (yield from self.code.load("pv_event_is_pending", "bit.word", events, BITS)) & bit:
            return 0
        old = yield from self.code.change(
            "set_pending_2l", "pending.word", events, BITS, lambda old: old | bit
        )
        if old & bit:
            return 0
        if (yield from self.code.load("pv_event_is_masked", "bit.word", "mask", BITS)) & bit:
            return 0
        return (yield from self.select(word))

    def select(self, word: int) -> Steps:
        old = yield from self.code.change(
            "select_word", "selector.word", "selector", BITS, lambda old: old | word
        )
        if not old & word:
            yield from upcall(self.code)
        return 0

    def hypercall_unmask(self, port: int) -> Steps:
        word, bit = PORTS[port]
        old = yield from self.code.change(
            "unmask_2l", "mask.word", "mask", BITS, lambda old: old & ~bit
        )
        if not old & bit:
            return 0
        events = f"events {word}"
        if (yield from self.code.load("pv_event_is_pending", "bit.word", events, BITS)) & bit:
            yield from self.select(word)
        return 0

    # ---- The guest --------------------------------------------------------------------------

    def mask(self, bit: int) -> Steps:
        return (
            yield from self.code.change(
                "pv_event_mask", "bit.word", "mask", BITS, lambda old: old | bit
            )
        )

    def unmask(self, port: int) -> Steps:
        """pv_event_unmask, and the hypercall when it asks for that."""
        word, bit = PORTS[port]
        yield from self.code.change(
            "pv_event_unmask", "bit.word", "mask", BITS, lambda old: old & ~bit
        )
        events = f"events {word}"
        if (yield from self.code.load("pv_event_is_pending", "bit.word", events, BITS)) & bit:
            yield from self.code.change(
                "pv_event_unmask", "bit.word", "mask", BITS, lambda old: old | bit, nth=1
            )
            yield from self.hypercall_unmask(port)
        return 0

    def clear(self, port: int) -> Steps:
        word, bit = PORTS[port]
        return (
            yield from self.code.change(
                "pv_event_clear_pending",
                "bit.word",
                f"events {word}",
                BITS,
                lambda old: old & ~bit,
            )
        )

    def scan(self, capacity: int) -> Generator[Op | Choice, int, list[int]]:
        """The ports with an event; words for which there is no room are selected again."""
        yield from take_upcall(self.code)
        found: list[int] = []
        if not (yield from self.code.load("scan_2l", "selected", "selector", BITS)):
            return found
        words = yield from self.code.change("scan_2l", "selected", "selector", BITS, lambda _: 0)
        for word in (1, 2):
            if words & word and len(found) < capacity:
                words &= ~word
                events = f"events {word}"
                raised = yield from self.code.load("scan_bits", "pending.word", events, BITS)
                masked = yield from self.code.load("scan_bits", "mask.word", "mask", BITS)
                bits = raised & ~masked
                found += [port for port, at in PORTS.items() if at[0] == word and at[1] & bits]
        if words:
            yield from self.code.change(
                "scan_2l", "selected", "selector", BITS, lambda old: old | words, nth=1
            )
            yield from self.code.store("scan_2l", "pv_event_upcall_pending(view)", "upcall", 1)
        return found

    def receive(self, wanted: dict[int, int], by_byte: bool = False, capacity: int = 2) -> Program:
        """Runs until all that is wanted has been read, or nothing wakes it any more."""
        seen = dict.fromkeys(wanted, 0)
        for _ in range(4):
            if not (yield from sleep(by_byte)):
                return f"asleep having read {seen}"
            for port in (yield from self.scan(capacity)):
                yield from self.clear(port)
                seen[port] = yield from read_data(port)
            if seen == wanted:
                return "done"
        raise Impossible


# ---- Scenarios --------------------------------------------------------------------------------


def lost(outcomes: tuple[str, ...], memory: Memory, by_byte: bool) -> str:
    sleepers = [outcome for outcome in outcomes if outcome.startswith("asleep")]
    waking = read(memory, "upcall") if by_byte else read(memory, "pending")
    return f"lost event: {sleepers[0]}, no upcall pending" if sleepers and not waking else ""


def lost_event(outcomes: tuple[str, ...], memory: Memory) -> str:
    return lost(outcomes, memory, by_byte=False)


def lost_upcall(outcomes: tuple[str, ...], memory: Memory) -> str:
    return lost(outcomes, memory, by_byte=True)


Programs = Callable[[TwoLevel], tuple[Callable[[], Program], Callable[[], Program]]]


def scenario(
    title: str,
    programs: Programs,
    fault: Callable[[tuple[str, ...], Memory], str],
    **memory: int,
) -> Scenario:
    start = {"selector": 0, "mask": 0, "upcall": 0, "pending": 0}
    start |= {"events 1": 0, "events 2": 0, "data 1": 0, "data 2": 0, "data 3": 0}
    start |= {name.replace("_", " "): value for name, value in memory.items()}
    return Scenario(
        ("sender", "guest"), lambda without: programs(TwoLevel(without)), start, fault, title
    )


def sends(two_level: TwoLevel, *what: tuple[int, int]) -> Program:
    for port, value in what:
        yield from write_data(port, value)
        yield from two_level.send(port)
    return "done"


def polls(two_level: TwoLevel) -> Program:
    bits = yield from two_level.code.load("pv_event_is_pending", "bit.word", "events 1", BITS)
    return f"polled {(yield from read_data(1))}" if bits else "done"


def unmasks_by_hypercall(two_level: TwoLevel) -> Program:
    yield from two_level.hypercall_unmask(1)
    return (yield from two_level.receive({1: 1}))


def unmasks(two_level: TwoLevel) -> Program:
    yield from two_level.unmask(1)
    return (yield from two_level.receive({1: 1}))


def only(step: Callable[[], Steps]) -> Callable[[], Program]:
    def program() -> Program:
        yield from step()
        return "done"

    return program


def reads_unwritten(outcomes: tuple[str, ...], memory: Memory) -> str:
    return outcomes[1] if outcomes[1] == "polled 0" else ""


def bits_are(variable: str, bits: int) -> Callable[[tuple[str, ...], Memory], str]:
    def fault(outcomes: tuple[str, ...], memory: Memory) -> str:
        found = read(memory, variable)
        return "" if found == bits else f"{variable} is {found:02b}, not {bits:02b}"

    return fault


SCENARIOS = [
    scenario(
        "one port, twice",
        lambda t: (lambda: sends(t, (1, 1), (1, 2)), lambda: t.receive({1: 2})),
        lost_event,
    ),
    scenario(
        "one port, twice, by the byte",
        lambda t: (lambda: sends(t, (1, 1), (1, 2)), lambda: t.receive({1: 2}, by_byte=True)),
        lost_upcall,
    ),
    scenario(
        "two words",
        lambda t: (lambda: sends(t, (1, 1), (2, 1)), lambda: t.receive({1: 1, 2: 1})),
        lost_event,
    ),
    scenario(
        "more than there is room for",
        lambda t: (
            lambda: sends(t, (3, 1)),
            lambda: t.receive({1: 1, 2: 1, 3: 1}, by_byte=True, capacity=1),
        ),
        lost_upcall,
        selector=3,
        upcall=1,
        events_1=1,
        events_2=1,
        data_1=1,
        data_2=1,
    ),
    scenario("a poll", lambda t: (lambda: sends(t, (1, 1)), lambda: polls(t)), reads_unwritten),
    scenario(
        "unmasking", lambda t: (lambda: sends(t, (1, 1)), lambda: unmasks(t)), lost_event, mask=1
    ),
    scenario(
        "unmasking by hypercall",
        lambda t: (lambda: sends(t, (1, 1)), lambda: unmasks_by_hypercall(t)),
        lost_event,
        mask=1,
    ),
    scenario(
        "an upcall for nothing before",
        lambda t: (lambda: sends(t, (1, 1)), lambda: t.receive({1: 1}, by_byte=True)),
        lost_upcall,
        upcall=1,
    ),
    scenario(
        "two ports of a word",
        lambda t: (lambda: sends(t, (3, 1)), only(lambda: t.clear(1))),
        bits_are("events 1", 2),
        events_1=1,
    ),
    scenario(
        "masks of two vcpus",
        lambda t: (only(lambda: t.mask(1)), only(lambda: t.unmask(3))),
        bits_are("mask", 1),
        mask=2,
        events_1=2,
    ),
]
