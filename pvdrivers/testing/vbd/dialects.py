"""How real drivers behave on xenbus, as data: what they write, in which order, what they react to.

A dialect is one driver's behaviour: a table of the same form as our own (`pvdrivers.xenbus.states`)
and lists of keys. `pvdrivers.testing.vbd.emulated` makes a backend or a frontend out of one.
Sources: Linux 6.1's xen-blkback and xen-blkfront, QEMU 7.2's xen-block, and observation of both;
see docs/interop.md. The keys and limits of the Windows PV drivers' xenvbd, and of the blkfront of
Linux 2.6.18 for Xen, which ia64 guests of its time have; those two have our own table.
"""

from dataclasses import dataclass

from pvdrivers.ring.abi import Abi
from pvdrivers.xenbus.states import (
    BACKEND_EVENTS,
    CLOSED,
    CLOSING,
    CONNECTED,
    FRONTEND,
    FRONTEND_EVENTS,
    INIT_WAIT,
    INITIALISED,
    INITIALISING,
    RECONFIGURED,
    RECONFIGURING,
    UNKNOWN,
    Action,
    Event,
    Rules,
    Table,
    XenbusState,
)

_ANY = tuple(XenbusState)
_READY = (INITIALISED, CONNECTED)  # of the frontend: its rings are published
_NOT_CONNECTED = tuple(state for state in XenbusState if state not in (UNKNOWN, CONNECTED))

FRONTEND_SIDE = "frontend: "  # before a key of the frontend's directory that a backend writes


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
    watches_own_keys: tuple[str, ...] = ("state", "online")  # those that a toolstack writes
    rewrites_state: bool = False  # publishes a state again though it did not change
    removes_itself: bool = False  # removes its directory when it has been unplugged


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
    persistent: bool = True  # else each request's pages are granted for its time
    discard: bool = True
    flush: bool = True
    reads: int = 3  # of 4 KiB each, on connecting
    constants: tuple[tuple[str, str], ...] = ()  # of the keys, those that ours does not write
    abi: Abi = Abi.X86_64  # that it is usual with


# ---- Linux' xen-blkback ------------------------------------------------------------------------


def _linux_backend() -> Table:
    rules = Rules(BACKEND_EVENTS)
    add, event, action = rules.add, Event, Action
    add(event.START, _ANY, _ANY, action.OFFER, to=INIT_WAIT)
    for look in (event.PEER, event.UNPLUG, event.CLOSE):
        gone = [action.REMOVE] * (look is event.UNPLUG)
        add(look, [CLOSED], [INITIALISING], to=INIT_WAIT)
        add(look, _NOT_CONNECTED, _READY, action.DISCONNECT, action.CONNECT, to=CONNECTED)
        add(look, _ANY, [CLOSING], to=CLOSING)
        add(look, _ANY, [CLOSED], action.DISCONNECT, *gone, to=CLOSED)
        add(look, _ANY, [UNKNOWN], action.DISCONNECT, action.REMOVE, to=CLOSED)
        add(look, _ANY, [INIT_WAIT, RECONFIGURING, RECONFIGURED], action.REPORT, to=CLOSING)
    add(event.RESIZE, [CONNECTED], _ANY, action.UPDATE_SIZE)
    add(event.FATAL, _ANY, _ANY, action.DISCONNECT, action.REPORT, to=CLOSING)
    add(event.GONE, _ANY, _ANY, action.DISCONNECT, action.REMOVE, to=UNKNOWN)
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
    add(event.START, _ANY, _ANY, action.OFFER, to=INIT_WAIT)
    for look in (event.PEER, event.UNPLUG, event.CLOSE):
        gone = [action.REMOVE] * (look is event.UNPLUG)
        add(look, [CLOSED], [INITIALISING], *gone, to=CLOSED if gone else INIT_WAIT)
        add(look, _NOT_CONNECTED, _READY, action.DISCONNECT, action.CONNECT, to=CONNECTED)
        add(look, _ANY, [CLOSING], to=CLOSING)
        add(look, _ANY, [UNKNOWN, CLOSED], action.DISCONNECT, *gone, to=CLOSED)
    for leave in (event.UNPLUG, event.CLOSE):
        gone = [action.REMOVE] * (leave is event.UNPLUG)
        add(
            leave,
            [INITIALISING, INIT_WAIT, INITIALISED, CLOSING],
            [INITIALISING],
            action.DISCONNECT,
            *gone,
            to=CLOSED,
        )
        add(leave, [CONNECTED], _READY, to=CLOSING)
        add(leave, [CLOSING], _READY)
    add(event.RESIZE, [CONNECTED], _ANY, action.UPDATE_SIZE)
    add(event.FATAL, _ANY, _ANY, action.DISCONNECT, to=INIT_WAIT)
    add(event.GONE, _ANY, _ANY, action.DISCONNECT, action.REMOVE, to=UNKNOWN)
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
    add(event.START, _ANY, _ANY, to=INITIALISING)
    add(event.PEER, [INITIALISING], [INIT_WAIT], action.CONNECT, to=INITIALISED)
    add(
        event.PEER,
        [INITIALISING, CLOSING, CLOSED],
        [CONNECTED],
        action.DISCONNECT,
        action.CONNECT,
        to=INITIALISED,
    )
    add(event.PEER, [INITIALISED], [CONNECTED], action.ATTACH, to=CONNECTED)
    add(event.PEER, [CONNECTED], [CONNECTED], action.REREAD)
    # It goes to Closed at once; the rings are freed with the device.
    others = [state for state in XenbusState if state is not CLOSING]
    add(event.PEER, others, [CLOSING, CLOSED], to=CLOSED)
    add(event.RESUME, _ANY, _ANY, action.DISCONNECT, action.CONNECT, to=INITIALISED)
    add(event.FATAL, _ANY, _ANY, action.REPORT, to=CLOSING)
    add(event.GONE, _ANY, _ANY, action.DISCONNECT, action.REMOVE, to=UNKNOWN)
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

# ---- others ------------------------------------------------------------------------------------

WINDOWS_FRONTEND = FrontendDialect(
    name="Windows xenvbd",
    table=FRONTEND,
    keys=(
        "rings",
        "multi-queue-num-queues",
        "ring-page-order",
        "protocol",
        "target-id",
        "feature-surprise-remove",
        "feature-online-resize",
    ),
    max_queues=64,
    max_ring_page_order=4,
    max_indirect_segments=1024,  # two pages of them
    persistent=False,
    constants=(
        ("multi-queue-num-queues", "1"),  # it says so of one queue too
        ("target-id", "0"),
        ("feature-surprise-remove", "1"),
        ("feature-online-resize", "1"),
    ),
)

IA64_FRONTEND = FrontendDialect(
    name="Linux 2.6.18 blkfront",
    table=FRONTEND,
    keys=("rings", "protocol"),
    max_queues=1,
    max_indirect_segments=0,
    persistent=False,
    discard=False,
    flush=False,  # barriers alone
    abi=Abi.IA64,
)

PROFILES = {"linux": LINUX_FRONTEND, "windows": WINDOWS_FRONTEND, "ia64": IA64_FRONTEND}
