"""The ring's handshake as programs of a producer and a consumer, built from the table of sites.

Requests have the front half as producer and the back half as consumer, responses the reverse; the
steps are the same C functions.
"""

from collections.abc import Generator
from typing import NamedTuple

from .explorer import Scenario
from .machines import Choice, Impossible, Memory, Op, Program, Steps, read
from .sites import Site, Table, Weakening

RING = Table(
    "include/pvdrivers/ring/ring.h",
    (
        Site("pv_ring_publish", "pv_read_once", "prod"),
        Site(
            "pv_ring_publish",
            "pv_store_release",
            "prod",
            "The slots are visible before the index that covers them.",
        ),
        Site(
            "pv_ring_publish",
            "pv_mb",
            "",
            "The index is visible before the producer looks where the consumer wants to be woken.",
        ),
        Site("pv_ring_publish", "pv_read_once", "peer_event"),
        Site("pv_ring_arm", "pv_write_once", "event"),
        Site(
            "pv_ring_arm",
            "pv_mb",
            "",
            "The wish to be woken is visible before the consumer's last look at the index.",
        ),
        Site(
            "pv_ring_unconsumed",
            "pv_load_acquire",
            "peer_prod",
            "The slots are read after the index that covers them.",
        ),
        Site(
            "pv_ring_copy",
            "pv_compiler_barrier",
            "",
            "What is used is what was checked: the compiler does not read the shared slot again.",
        ),
    ),
)


class Ring(NamedTuple):
    """One direction of a ring whose source lacks the barrier at one site, or none."""

    without: Weakening | None = None
    name: str = ""  # prefix of its variables

    def steps(self, function: str) -> list[tuple[str, str, str]]:
        """A C function's primitives; the one left out keeps its access and loses its order."""
        weaker = {"pv_store_release": "pv_write_once", "pv_load_acquire": "pv_read_once"}
        found = []
        for site in RING.sites:
            if site.function == function:
                primitive = site.primitive
                if self.without == Weakening(site, "order"):
                    primitive = weaker.get(primitive, "")
                if primitive:
                    found.append((primitive, site.argument, f"{function}: {primitive}"))
        return found

    def publish(self, new: int, events: tuple[int, ...]) -> Steps:
        """pv_ring_publish of one entry, and the driver's notification when it says so."""
        old, event = new - 1, 0
        prod, peer_event = f"{self.name}prod", f"{self.name}event"
        for primitive, argument, text in self.steps("pv_ring_publish"):
            if primitive == "pv_mb":
                yield Op("fence", text=f"{text}()")
            elif argument == "peer_event":
                load = Op("load", peer_event, decides=True, text=f"{text}({peer_event})")
                event = yield Choice(load, events)
            elif primitive == "pv_read_once":
                yield Op("load", prod, old, decides=True, text=f"{text}({prod}) -> {old}")
            else:
                order = "release" if primitive == "pv_store_release" else ""
                yield Op("store", prod, new, order, text=f"{text}({prod}, {new})")
        if (new - event) % 256 < new - old:
            yield Op("notify", text="notify")
        return 0

    def unconsumed(self, cons: int, total: int) -> Steps:
        """pv_ring_unconsumed; an index that was seen is not seen lower later."""
        [(primitive, _, text)] = self.steps("pv_ring_unconsumed")
        order = "acquire" if primitive == "pv_load_acquire" else ""
        prod = f"{self.name}prod"
        load = Op("load", prod, order=order, decides=True, text=f"{text}({prod})")
        return (yield Choice(load, tuple(range(cons, total + 1)))) - cons

    def arm(self, cons: int) -> Steps:
        """pv_ring_arm."""
        event = f"{self.name}event"
        for primitive, _, text in self.steps("pv_ring_arm"):
            if primitive == "pv_mb":
                yield Op("fence", text=f"{text}()")
            else:
                yield Op("store", event, cons + 1, text=f"{text}({event}, {cons + 1})")
        return 0

    def copy(self, slot: int, values: tuple[int, ...]) -> Generator[Op | Choice, int, list[int]]:
        """pv_ring_copy: the values checked and used. A compiler left free loads once for each."""
        load = Op("load", f"slot{slot}", text=f"pv_ring_copy: slot {slot}, checked")
        checked = yield Choice(load, values)
        if self.steps("pv_ring_copy"):
            return [checked, checked]
        again = load._replace(text=f"read behind the copy: slot {slot}, used")
        return [checked, (yield Choice(again, values))]


# ---- Sleeping and waking ----------------------------------------------------------------------


def producer(ring: Ring, total: int) -> Program:
    """Writes slot i with i + 1 and publishes it, `total` times."""
    for i in range(total):
        yield Op("store", f"slot{i}", i + 1, text=f"write slot {i}")
        yield from ring.publish(i + 1, tuple(range(1, total + 2)))
    return "done"


def consumer(ring: Ring, total: int) -> Program:
    """Takes what is there; when nothing is, asks to be woken, looks again, and sleeps."""
    cons = wakes = 0
    while cons < total:
        ready = yield from ring.unconsumed(cons, total)
        if not ready:
            yield from ring.arm(cons)
            ready = yield from ring.unconsumed(cons, total)
        if not ready:
            woken = yield Choice(Op("wait", text="sleep until notified"), (0, 1))
            if not woken:
                return f"asleep with {cons} taken"
            wakes += 1
            if wakes > total:
                raise Impossible
        for i in range(cons, cons + ready):
            value, _ = yield from ring.copy(i, (0, i + 1))
            if value != i + 1:
                return f"read slot {i} before it was written"
        cons += ready
    return "done"


# ---- A peer that changes a slot after publishing it -------------------------------------------


def liar(ring: Ring) -> Program:
    yield Op("store", "slot0", 1, text="write slot 0")
    yield from ring.publish(1, (1,))
    yield Op("store", "slot0", 2, text="write slot 0 again")
    return "done"


def checker(ring: Ring) -> Program:
    """Takes one entry, checks it, and uses it."""
    if (yield from ring.unconsumed(0, 1)):
        checked, used = yield from ring.copy(0, (1, 2))
        if checked != used:
            return "used what was never checked"
    return "done"


# ---- A ring of one slot, polled: requests and responses take turns in it ----------------------


def await_entry(ring: Ring, index: int) -> Steps:
    """Polls; only the look that finds the entry matters."""
    if not (yield from ring.unconsumed(index, index + 1)):
        raise Impossible
    return 0


def front(requests: Ring, responses: Ring, total: int) -> Program:
    for i in range(total):
        yield Op("store", "slot0", 2 * i + 1, text=f"write request {i}")
        yield from requests.publish(i + 1, (0,))
        yield from await_entry(responses, i)
        value, _ = yield from responses.copy(0, tuple(range(2 * total + 1)))
        if value != 2 * i + 2:
            return f"took {value} for response {i}"
    return "done"


def back(requests: Ring, responses: Ring, total: int) -> Program:
    for i in range(total):
        yield from await_entry(requests, i)
        value, _ = yield from requests.copy(0, tuple(range(2 * total + 1)))
        if value != 2 * i + 1:
            return f"took {value} for request {i}"
        yield Op("store", "slot0", 2 * i + 2, text=f"write response {i}")
        yield from responses.publish(i + 1, (0,))
    return "done"


# ---- Scenarios --------------------------------------------------------------------------------


def fault(outcomes: tuple[str, ...], memory: Memory) -> str:
    for outcome in outcomes:
        if outcome.startswith("asleep with "):
            taken = int(outcome.split()[2])
            if not read(memory, "pending") and read(memory, "prod") > taken:
                return f"lost wake-up: {outcome} of {read(memory, 'prod')}, nothing pending"
        elif outcome != "done":
            return outcome
    return ""


HANDSHAKE = Scenario(
    ("producer", "consumer"),
    lambda without: (lambda: producer(Ring(without), 2), lambda: consumer(Ring(without), 2)),
    {"prod": 0, "event": 1, "pending": 0, "slot0": 0, "slot1": 0},
    fault,
)
HOSTILE = Scenario(
    ("hostile producer", "consumer"),
    lambda without: (lambda: liar(Ring(without)), lambda: checker(Ring(without))),
    {"prod": 0, "event": 1, "pending": 0, "slot0": 0},
    fault,
)
ROUND_TRIP = Scenario(
    ("front", "back"),
    lambda without: (
        lambda: front(Ring(without, "req_"), Ring(without, "rsp_"), 2),
        lambda: back(Ring(without, "req_"), Ring(without, "rsp_"), 2),
    ),
    {"req_prod": 0, "req_event": 0, "rsp_prod": 0, "rsp_event": 0, "pending": 0, "slot0": 0},
    fault,
)
