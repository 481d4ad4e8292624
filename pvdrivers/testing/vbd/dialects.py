"""How real drivers behave on xenbus, as data: what they write, in which order, what they react to.

A dialect is one driver's behaviour: a table of the same form as our own (`pvdrivers.xenbus.states`)
and lists of keys.
`pvdrivers.testing.vbd.emulated` makes a backend or a frontend out of one. Sources: Linux 6.1's
xen-blkback and xen-blkfront, QEMU 7.2's xen-block, and what they were seen to do; docs/interop.md.
"""

from dataclasses import dataclass

from pvdrivers.xenbus.states import (
    BACKEND_EVENTS,
    FRONTEND_EVENTS,
    Action,
    Event,
    Rules,
    Table,
    XenbusState,
)

_0, _1, _2, _3, _4, _5, _6, _7, _8 = XenbusState
_ANY = tuple(XenbusState)

FRONTEND_SIDE = "frontend: "  # before a key of the frontend's that a backend writes again


@dataclass(frozen=True, slots=True)
class BackendDialect:
    """Keys are in the order in which they are written; one that has no value is left out."""

    name: str
    table: Table
    limits: tuple[str, ...]  # before InitWait, each in a write of its own
    disk: tuple[str, ...]  # in one transaction before Connected
    persistent: bool = True
    max_indirect_segments: int = 256
    max_queues: int = 4
    barrier: bool = True
    waits_for: str = ""  # the key that a hotplug script writes
    watches_own_keys: tuple[str, ...] = (
        "state",
        "online",
    )  # its own keys, when another writes them
    rewrites_state: bool = False  # a state it only takes notice of
    removes_itself: bool = False  # its directory, when it has been unplugged


@dataclass(frozen=True, slots=True)
class FrontendDialect:
    """Keys are in the order in which they are written, in one transaction; `rings` stands for the
    ring references and event channels of all queues."""

    name: str
    table: Table
    keys: tuple[str, ...]
    max_queues: int = 4  # at most; as many as the guest has processors
    max_ring_page_order: int = 0
    max_indirect_segments: int = 32
    reads: int = 3  # of 4 KiB each, on connecting


# ---- Linux' xen-blkback ------------------------------------------------------------------------


def _linux_backend() -> Table:
    rules = Rules(BACKEND_EVENTS)
    add, event, action = rules.add, Event, Action
    add(event.START, _ANY, _ANY, action.OFFER, to=_2)
    for look in (event.PEER, event.UNPLUG, event.CLOSE):
        gone = [action.REMOVE] * (look is event.UNPLUG)
        add(look, [_6], [_1], to=_2)
        add(look, [_1, _2, _3, _5, _6, _7, _8], [_3, _4], action.DISCONNECT, action.CONNECT, to=_4)
        add(look, _ANY, [_5], to=_5)
        add(look, _ANY, [_6], action.DISCONNECT, *gone, to=_6)
        add(look, _ANY, [_0], action.DISCONNECT, action.REMOVE, to=_6)
        add(look, _ANY, [_2, _7, _8], action.REPORT, to=_5)
    add(event.RESIZE, [_4], _ANY, action.UPDATE_SIZE)
    add(event.FATAL, _ANY, _ANY, action.DISCONNECT, action.REPORT, to=_5)
    add(event.GONE, _ANY, _ANY, action.DISCONNECT, action.REMOVE, to=_0)
    return rules.table


LINUX_BACKEND = BackendDialect(
    name="Linux xen-blkback",
    table=_linux_backend(),
    limits=("feature-max-indirect-segments", "multi-queue-max-queues", "max-ring-page-order"),
    disk=(
        "feature-flush-cache",
        "discard-granularity",
        "discard-alignment",
        "discard-secure",
        "feature-discard",
        "feature-barrier",
        "feature-persistent",
        "sectors",
        "info",
        "sector-size",
        "physical-sector-size",
    ),
    waits_for="physical-device",
    watches_own_keys=(),  # a toolstack's Closing is for the frontend to see
)


# ---- QEMU's xen-block --------------------------------------------------------------------------


def _qemu() -> Table:
    rules = Rules(BACKEND_EVENTS)
    add, event, action = rules.add, Event, Action
    add(event.START, _ANY, _ANY, action.OFFER, to=_2)
    for look in (event.PEER, event.UNPLUG, event.CLOSE):
        gone = [action.REMOVE] * (look is event.UNPLUG)
        add(look, [_6], [_1], *gone, to=_6 if gone else _2)
        add(look, [_1, _2, _3, _5, _6, _7, _8], [_3, _4], action.DISCONNECT, action.CONNECT, to=_4)
        add(look, _ANY, [_5], to=_5)
        add(look, _ANY, [_0, _6], action.DISCONNECT, *gone, to=_6)
    for leave in (event.UNPLUG, event.CLOSE):
        gone = [action.REMOVE] * (leave is event.UNPLUG)
        add(leave, [_1, _2, _3, _5], [_1], action.DISCONNECT, *gone, to=_6)
        add(leave, [_4], [_3, _4], to=_5)
        add(leave, [_5], [_3, _4])
    add(event.RESIZE, [_4], _ANY, action.UPDATE_SIZE)
    add(event.FATAL, _ANY, _ANY, action.DISCONNECT, to=_2)
    add(event.GONE, _ANY, _ANY, action.DISCONNECT, action.REMOVE, to=_0)
    return rules.table


QEMU = BackendDialect(
    name="QEMU xen-block",
    table=_qemu(),
    limits=(
        "feature-discard",
        "discard-granularity",
        "discard-alignment",
        "feature-flush-cache",
        "max-ring-page-order",
        "info",
        f"{FRONTEND_SIDE}virtual-device",
        f"{FRONTEND_SIDE}device-type",
        "sector-size",
        "sectors",
        "frontend",
        "frontend-id",
        "hotplug-status",
        "online",
    ),
    disk=(),
    persistent=False,
    max_indirect_segments=0,
    max_queues=1,
    barrier=False,
    rewrites_state=True,
    removes_itself=True,
)


# ---- Linux' xen-blkfront -----------------------------------------------------------------------


def _linux_frontend() -> Table:
    rules = Rules(FRONTEND_EVENTS)
    add, event, action = rules.add, Event, Action
    add(event.START, _ANY, _ANY, to=_1)
    add(event.PEER, [_1], [_2], action.CONNECT, to=_3)
    add(event.PEER, [_1, _5, _6], [_4], action.DISCONNECT, action.CONNECT, to=_3)
    add(event.PEER, [_3], [_4], action.ATTACH, to=_4)
    add(event.PEER, [_4], [_4], action.UPDATE_SIZE)
    # Closed at once; the rings are freed with the device.
    add(event.PEER, [_0, _1, _2, _3, _4, _6, _7, _8], [_5, _6], to=_6)
    add(event.RESUME, _ANY, _ANY, action.DISCONNECT, action.CONNECT, to=_3)
    add(event.FATAL, _ANY, _ANY, action.REPORT, to=_5)
    add(event.GONE, _ANY, _ANY, action.DISCONNECT, action.REMOVE, to=_0)
    return rules.table


LINUX_FRONTEND = FrontendDialect(
    name="Linux xen-blkfront",
    table=_linux_frontend(),
    keys=(
        "ring-page-order",
        "multi-queue-num-queues",
        "rings",
        "protocol",
        "feature-persistent",
    ),
)
