"""What a guest sees of its event channels while the hypervisor sets them up, without a lock.

pv_machine_event_view gives a guest that reads its words itself what a hypercall of another vcpu may
be setting up at that moment.
"""

from .event_sites import SETTING_UP as TABLES
from .explorer import Scenario
from .machines import Choice, Memory, Op, Program, Steps
from .sites import Code

OLD, NEW = 7, 1


def store(variable: str) -> Steps:
    yield Op("store", variable, NEW, text=f"set {variable}")
    return 0


def load(variable: str) -> Steps:
    return (yield Choice(Op("load", variable, text=f"read {variable}"), (OLD, NEW)))


def sets_control_block(code: Code) -> Program:
    yield from store("head")
    yield from store("offset")
    yield from code.store("set_control_block", "&fifo->control_mfn", "control", NEW)
    return "done"


def finds_control_block(code: Code) -> Program:
    if not (yield from code.load("event_view", "&fifo->control_mfn", "control", (0, NEW))):
        return "done"
    offset = yield from load("offset")
    head = yield from load("head")
    return "done" if offset == head == NEW else f"found offset {offset}, head {head}"


def adds_page(code: Code) -> Program:
    yield from store("frame")
    yield from code.store("add_event_page", "&ec->event_frame_count", "count", 1)
    return "done"


def finds_page(code: Code) -> Program:
    if not (yield from code.load("event_view", "&ec->event_frame_count", "count", (0, 1))):
        return "done"
    frame = yield from load("frame")
    return "done" if frame == NEW else f"found frame {frame}"


def unfinished(outcomes: tuple[str, ...], memory: Memory) -> str:
    return "" if outcomes[1] == "done" else outcomes[1]


SCENARIOS = [
    Scenario(
        ("hypervisor", "guest"),
        lambda without: (
            lambda: sets_control_block(Code(TABLES, without)),
            lambda: finds_control_block(Code(TABLES, without)),
        ),
        {"control": 0, "offset": OLD, "head": OLD},
        unfinished,
        "init_control",
    ),
    Scenario(
        ("hypervisor", "guest"),
        lambda without: (
            lambda: adds_page(Code(TABLES, without)),
            lambda: finds_page(Code(TABLES, without)),
        ),
        {"count": 0, "frame": OLD},
        unfinished,
        "expand_array",
    ),
]
