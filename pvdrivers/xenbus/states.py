"""The xenbus protocol as two tables, one for each end of a device.

Both ends of a device publish one of nine states. What an end does next depends on three things
only: its own state, the other end's state as last read, and what has happened (`Event`). The
tables answer every such triple with a `Step`: actions to carry out, and the state to publish once
they are done. They are level-triggered: an end that slept through any number of changes looks at
the two present states and goes on from there, so collapsed watches need no case of their own.

How the ends let go of a connection, in this order, so that no grant is revoked while mapped:
a frontend that is done with I/O goes to Closed (6) still holding its rings; the backend unmaps
them and goes to Closed; only then does the frontend free them.

A frontend that starts, or wakes in a restored domain, beside a backend that is connected to its
former self first closes that connection, as Linux' xenbus_reset_frontend does, and goes back to
Initialising when the backend is Closed. There is no shorter way: Linux' and QEMU's backends, once
Connected, look neither at Initialising nor at new rings. Requests under way are waited for: QEMU
does not survive Closed while it has any.

A backend that starts beside a frontend which is still connected to its predecessor waits in
Initialising (1). The frontend takes a backend that fell back to 1 or 2 for a restarted one, lets
go of its rings and starts over; requests without an answer are issued again. When the predecessor
has left with every request answered, its successor adopts the rings instead, and the frontend,
which may be one that cannot start over, sees nothing of it.

Sources: Xen's io/xenbus.h and xenbus(7); what Linux' blkfront, blkback and xenbus core do.
"""

from collections.abc import Iterable
from enum import Enum, IntEnum, auto
from typing import NamedTuple


class XenbusState(IntEnum):
    """Values of the `state` nodes (io/xenbus.h)."""

    UNKNOWN = 0  # the node is not there
    INITIALISING = 1
    INIT_WAIT = 2
    INITIALISED = 3
    CONNECTED = 4
    CLOSING = 5
    CLOSED = 6
    RECONFIGURING = 7
    RECONFIGURED = 8


class Event(Enum):
    """What an end takes into account beside the two states."""

    START = auto()  # a driver takes the device; frontend: then RESUME until it is Initialising
    ADOPT = auto()  # backend: START, and a predecessor's connection can be taken up
    PEER = auto()  # a watch fired: look at the states again
    DRAINED = auto()  # frontend: every request has its answer, or never will
    UNPLUG = auto()  # backend: PEER, while the toolstack's `online` is 0
    CLOSE = auto()  # the driver wants to give the device up
    RESIZE = auto()  # backend: the device has another size
    RECONFIGURE = auto()  # this end has something new for the other to read
    RESUME = auto()  # frontend: PEER, until a connection its former self had is done with
    FATAL = auto()  # this end cannot go on with what the other end did
    GONE = auto()  # this end's directory is no longer there


class Action(Enum):
    """What a driver is asked to do; its hooks have the same names."""

    OFFER = auto()  # backend: publish limits the frontend needs before it allocates
    CONNECT = auto()  # frontend: allocate rings, publish them; backend: map them, publish the rest
    ATTACH = auto()  # frontend: read what the backend published, let I/O in
    UPDATE_SIZE = auto()  # frontend: read the size again; backend: publish it
    RECONFIGURE = auto()  # read what the other end has changed
    DRAIN = auto()  # frontend: no new requests; DRAINED is due when the old ones are answered
    DISCONNECT = auto()  # undo CONNECT
    REPORT = auto()  # write the error node
    REMOVE = auto()  # forget the device


class Step(NamedTuple):
    """One entry of a table: actions in order, then the state to publish."""

    actions: tuple[Action, ...]
    state: XenbusState


Table = dict[tuple[XenbusState, Event, XenbusState], Step]

_0, _1, _2, _3, _4, _5, _6, _7, _8 = XenbusState
_ANY = tuple(XenbusState)
_DIGITS = {str(int(state)) for state in XenbusState}
_LIVE = (_4, _7, _8)  # I/O runs

FRONTEND_EVENTS = tuple(e for e in Event if e not in (Event.ADOPT, Event.UNPLUG, Event.RESIZE))
BACKEND_EVENTS = tuple(e for e in Event if e not in (Event.DRAINED, Event.RESUME))


class Rules:
    """Collects a table, later rules over earlier ones; what no rule names is: do nothing, stay."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.table: Table = {
            (own, event, peer): Step((), own) for own in _ANY for event in events for peer in _ANY
        }

    def add(
        self,
        event: Event,
        own: Iterable[XenbusState],
        peer: Iterable[XenbusState],
        *actions: Action,
        to: XenbusState | None = None,
    ) -> None:
        """`to` None: the state stays."""
        for one in own:
            for other in peer:
                self.table[one, event, other] = Step(actions, one if to is None else to)


def _frontend_table() -> Table:
    rules = Rules(FRONTEND_EVENTS)
    add, event, action = rules.add, Event, Action

    add(event.START, _ANY, _ANY, action.DISCONNECT, to=_1)
    add(event.START, _ANY, _LIVE, to=_6)
    add(event.RESUME, _ANY, _ANY, action.DISCONNECT, to=_1)
    add(event.RESUME, [_3, *_LIVE, _5], [*_LIVE, _5], action.DRAIN, to=_5)
    add(event.RESUME, [_0, _1, _2, _6], [*_LIVE, _5], to=_6)

    add(event.PEER, [_1], [_2], action.CONNECT, to=_3)
    add(event.PEER, [_1], [_5], to=_6)
    add(event.PEER, [_2], _ANY, to=_1)  # not a state of ours
    add(event.PEER, [_3], [_4, _7, _8], action.ATTACH, to=_4)
    add(event.PEER, [_3], [_5], to=_6)
    add(event.PEER, _LIVE, [_1, _2], action.DISCONNECT, to=_1)  # the backend was restarted
    add(event.PEER, _LIVE, [_5], action.DRAIN)
    add(event.PEER, [_3, *_LIVE], [_0, _6], action.DISCONNECT, to=_6)
    add(event.PEER, [_4], [_4], action.UPDATE_SIZE)
    add(event.PEER, [_4], [_7], action.RECONFIGURE, to=_8)
    add(event.PEER, [_7], [_8], action.RECONFIGURE, to=_4)
    add(event.PEER, [_8], [_4], action.RECONFIGURE, to=_4)
    add(event.PEER, [_7], [_7], action.RECONFIGURE, to=_8)  # both at once: the frontend yields
    add(event.PEER, [_8], [_8], to=_4)
    # Only a backend that has closed too ends it: one that still offers would be tried for ever.
    add(event.PEER, [_5], [_0, _6], action.DISCONNECT, to=_6)
    add(event.PEER, [_5], [_5], to=_6)
    add(event.PEER, [_6], [_0, _1, _6], action.DISCONNECT)
    add(event.PEER, [_6], [_2], action.DISCONNECT, to=_1)  # offered again

    add(event.DRAINED, _LIVE, [_5], to=_6)
    add(event.DRAINED, [_5], _ANY, to=_6)
    add(event.RECONFIGURE, [_4], [_4], to=_7)

    add(event.CLOSE, [_0, _1, _2], _ANY, to=_6)
    add(event.CLOSE, [_3, *_LIVE], [_2, _3, _4, _5, _7, _8], to=_5)
    add(event.CLOSE, [_3, *_LIVE, _5, _6], [_0, _1, _6], action.DISCONNECT, to=_6)

    add(event.FATAL, _ANY, _ANY, action.REPORT, to=_5)
    add(event.GONE, _ANY, _ANY, action.DISCONNECT, action.REMOVE, to=_0)
    return rules.table


def _backend_table() -> Table:
    rules = Rules(BACKEND_EVENTS)
    add, event, action = rules.add, Event, Action

    for start in (event.START, event.ADOPT):
        add(start, _ANY, [_0, _1, _3, _6], action.DISCONNECT, action.OFFER, to=_2)
        # The frontend is still connected to a predecessor.
        add(start, _ANY, [_2, _4, _5, _7, _8], action.DISCONNECT, to=_1)
    add(event.ADOPT, _ANY, [_4], action.DISCONNECT, action.CONNECT, to=_4)

    add(event.PEER, [_1], [_0, _1, _3, _6], action.OFFER, to=_2)
    add(event.PEER, [_1], [_5], to=_5)
    add(event.PEER, [_2], [_3, _4], action.CONNECT, to=_4)
    add(event.PEER, [_2], [_5], to=_5)
    add(event.PEER, [_3], _ANY, action.OFFER, to=_2)  # not a state of ours
    add(event.PEER, _LIVE, [_0, _6], action.DISCONNECT, to=_6)
    add(event.PEER, _LIVE, [_1], action.DISCONNECT, action.OFFER, to=_2)
    add(event.PEER, _LIVE, [_5], to=_5)
    add(event.PEER, [_4], [_7], action.RECONFIGURE, to=_8)
    add(event.PEER, [_7], [_8], action.RECONFIGURE, to=_4)
    add(event.PEER, [_8], [_4], action.RECONFIGURE, to=_4)
    add(event.PEER, [_5], [_0, _1, _6], action.DISCONNECT, to=_6)
    add(event.PEER, [_6], [_1, _3], action.OFFER, to=_2)

    for leave, last in ((event.UNPLUG, (action.REMOVE,)), (event.CLOSE, ())):
        add(leave, [_0, _1, _2, _3], _ANY, *last, to=_6)
        add(leave, _LIVE, [_2, _3, _4, _5, _7, _8], to=_5)
        add(leave, [*_LIVE, _5], [_0, _1, _6], action.DISCONNECT, *last, to=_6)
        add(leave, [_6], _ANY, *last)

    add(event.RESIZE, [_4], _ANY, action.UPDATE_SIZE)
    add(event.RECONFIGURE, [_4], [_4], to=_7)
    add(event.FATAL, _ANY, _ANY, action.DISCONNECT, action.REPORT, to=_5)
    add(event.GONE, _ANY, _ANY, action.DISCONNECT, action.REMOVE, to=_0)
    return rules.table


FRONTEND = _frontend_table()
BACKEND = _backend_table()


class XenbusMachine:
    """One end of one device: its state, and whether it holds a connection.

    CONNECT and DISCONNECT strictly alternate: a DISCONNECT with nothing to undo is left out.
    """

    def __init__(self, table: Table, state: XenbusState = XenbusState.UNKNOWN) -> None:
        self.table = table
        self.state = state
        self.connected = False

    def step(self, event: Event, peer: XenbusState) -> Step:
        """Takes one step. ValueError: an event that is not one of this end's."""
        entry = self.table.get((self.state, event, peer))
        if entry is None:
            raise ValueError(f"{event.name} is not an event of this end")
        actions = []
        for action in entry.actions:
            if action is Action.DISCONNECT and not self.connected:
                continue
            if action in (Action.CONNECT, Action.DISCONNECT):
                self.connected = action is Action.CONNECT
            actions.append(action)
        self.state = entry.state
        return Step(tuple(actions), entry.state)

    def connect_failed(self) -> None:
        """The driver's CONNECT came to nothing and left nothing behind."""
        self.connected = False

    def __repr__(self) -> str:
        held = "connected" if self.connected else "not connected"
        return f"<XenbusMachine {self.state.name.lower()} {held}>"


def parse_state(text: str | None) -> XenbusState:
    """A `state` node's value; absent, garbled or out of range is Unknown, as Linux has it."""
    digits = (text or "").strip()
    return XenbusState(int(digits)) if digits in _DIGITS else XenbusState.UNKNOWN
