"""The xenbus protocol as two tables, one for each end of a device.

Both ends of a device publish one of nine states. What an end does next depends on three things
only: its own state, the other end's state as last read, and what has happened (`Event`). The
tables answer every such triple with a `Step`: actions to carry out, and the state to publish once
they are done. They are level-triggered: an end that missed any number of changes reads
the two present states and goes on from there, so collapsed watches need no case of their own.

The ends close a connection in this order, so that no grant is revoked while it is mapped: a
frontend whose I/O is finished goes to Closed (6) and keeps its rings; the backend unmaps them and
goes to Closed; only then does the frontend free them.

A frontend may start, or go on in a restored domain, while a backend is still connected to the
frontend before it. It first closes that connection, as Linux' xenbus_reset_frontend does, and goes
back to Initialising when the backend is Closed. There is no shorter way: Linux' and QEMU's
backends, once Connected, ignore both Initialising and new rings. The frontend waits for requests in
flight: QEMU does not survive Closed while it has any.

A backend that starts beside a frontend which is still connected to its predecessor waits in
Initialising (1). When a backend goes back to 1 or 2, the frontend takes it for a restarted one,
frees its rings and starts over; requests without an answer are issued again. When the predecessor
had answered every request, its successor takes up the rings instead, and the frontend, which
perhaps cannot start over, notices nothing.

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
    OFFERED = auto()  # backend: START, and the frontend has answered what a predecessor offered
    PEER = auto()  # a watch fired: look at the states again
    DRAINED = auto()  # frontend: every request has its answer, or never will
    UNPLUG = auto()  # backend: PEER, while the toolstack's `online` is 0
    CLOSE = auto()  # the driver wants to give the device up
    RESIZE = auto()  # backend: the device has another size
    EXCHANGE = auto()  # backend: something else serves the device from now on
    RECONFIGURE = auto()  # this end has something new for the other to read
    RESUME = auto()  # frontend: PEER, until an earlier frontend's connection is closed
    FATAL = auto()  # this end cannot go on with what the other end did
    GONE = auto()  # this end's directory has been removed


class Action(Enum):
    """What a driver is asked to do; its hooks have the same names."""

    OFFER = auto()  # backend: publish limits the frontend needs before it allocates
    CONNECT = auto()  # frontend: allocate rings, publish them; backend: map them, publish the rest
    ATTACH = auto()  # frontend: read what the backend published, let I/O in
    REREAD = auto()  # read again what the other end or the toolstack may change while connected
    UPDATE_SIZE = auto()  # backend: publish the size
    EXCHANGE = auto()  # backend: serve the device from something else; the frontend sees nothing
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

UNKNOWN, INITIALISING, INIT_WAIT, INITIALISED, CONNECTED = list(XenbusState)[:5]
CLOSING, CLOSED, RECONFIGURING, RECONFIGURED = list(XenbusState)[5:]
_ANY = tuple(XenbusState)
_DIGITS = {str(int(state)) for state in XenbusState}
_LIVE = (CONNECTED, RECONFIGURING, RECONFIGURED)  # I/O runs
_NOT_CONNECTED = (UNKNOWN, INITIALISING, CLOSED)

FRONTEND_ONLY = (Event.DRAINED, Event.RESUME)
BACKEND_ONLY = (Event.ADOPT, Event.OFFERED, Event.UNPLUG, Event.RESIZE, Event.EXCHANGE)
FRONTEND_EVENTS = tuple(event for event in Event if event not in BACKEND_ONLY)
BACKEND_EVENTS = tuple(event for event in Event if event not in FRONTEND_ONLY)


class Rules:
    """Collects a table. A later rule overrides an earlier one; without a rule an end does nothing
    and stays."""

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

    add(event.START, _ANY, _ANY, action.DISCONNECT, to=INITIALISING)
    add(event.START, _ANY, _LIVE, to=CLOSED)
    add(event.RESUME, _ANY, _ANY, action.DISCONNECT, to=INITIALISING)
    add(event.RESUME, [INITIALISED, *_LIVE, CLOSING], [*_LIVE, CLOSING], action.DRAIN, to=CLOSING)
    add(event.RESUME, [UNKNOWN, INITIALISING, INIT_WAIT, CLOSED], [*_LIVE, CLOSING], to=CLOSED)

    add(event.PEER, [INITIALISING], [INIT_WAIT], action.CONNECT, to=INITIALISED)
    add(event.PEER, [INITIALISING], [CLOSING], to=CLOSED)
    add(event.PEER, [INIT_WAIT], _ANY, to=INITIALISING)  # not a state of ours
    add(event.PEER, [INITIALISED], _LIVE, action.ATTACH, to=CONNECTED)
    add(event.PEER, [INITIALISED], [CLOSING], to=CLOSED)
    # The backend was restarted.
    add(event.PEER, _LIVE, [INITIALISING, INIT_WAIT], action.DISCONNECT, to=INITIALISING)
    add(event.PEER, _LIVE, [CLOSING], action.DRAIN)
    add(event.PEER, [INITIALISED, *_LIVE], [UNKNOWN, CLOSED], action.DISCONNECT, to=CLOSED)
    add(event.PEER, [CONNECTED], [CONNECTED], action.REREAD)
    add(event.PEER, [CONNECTED], [RECONFIGURING], action.RECONFIGURE, to=RECONFIGURED)
    add(event.PEER, [RECONFIGURING], [RECONFIGURED], action.RECONFIGURE, to=CONNECTED)
    add(event.PEER, [RECONFIGURED], [CONNECTED], action.RECONFIGURE, to=CONNECTED)
    # Both at once: the frontend yields.
    add(event.PEER, [RECONFIGURING], [RECONFIGURING], action.RECONFIGURE, to=RECONFIGURED)
    add(event.PEER, [RECONFIGURED], [RECONFIGURED], to=CONNECTED)
    # Only a closed backend ends this: with one that still offers the frontend would retry forever.
    add(event.PEER, [CLOSING], [UNKNOWN, CLOSED], action.DISCONNECT, to=CLOSED)
    add(event.PEER, [CLOSING], [CLOSING], to=CLOSED)
    add(event.PEER, [CLOSED], _NOT_CONNECTED, action.DISCONNECT)
    add(event.PEER, [CLOSED], [INIT_WAIT], action.DISCONNECT, to=INITIALISING)  # offered again

    add(event.DRAINED, _LIVE, [CLOSING], to=CLOSED)
    add(event.DRAINED, [CLOSING], _ANY, to=CLOSED)
    add(event.RECONFIGURE, [CONNECTED], [CONNECTED], to=RECONFIGURING)

    add(event.CLOSE, [UNKNOWN, INITIALISING, INIT_WAIT], _ANY, to=CLOSED)
    add(event.CLOSE, [INITIALISED, *_LIVE], [INIT_WAIT, INITIALISED, *_LIVE, CLOSING], to=CLOSING)
    holding = (INITIALISED, *_LIVE, CLOSING, CLOSED)  # states in which there may be rings
    add(event.CLOSE, holding, _NOT_CONNECTED, action.DISCONNECT, to=CLOSED)

    add(event.FATAL, _ANY, _ANY, action.REPORT, to=CLOSING)
    add(event.GONE, _ANY, _ANY, action.DISCONNECT, action.REMOVE, to=UNKNOWN)
    return rules.table


def _backend_table() -> Table:
    rules = Rules(BACKEND_EVENTS)
    add, event, action = rules.add, Event, Action

    starting = (*_NOT_CONNECTED, INITIALISED)
    for start in (event.START, event.ADOPT, event.OFFERED):
        add(start, _ANY, starting, action.DISCONNECT, action.OFFER, to=INIT_WAIT)
        # The frontend is still connected to a predecessor.
        add(start, _ANY, [INIT_WAIT, *_LIVE, CLOSING], action.DISCONNECT, to=INITIALISING)
    add(event.ADOPT, _ANY, [CONNECTED], action.DISCONNECT, action.CONNECT, to=CONNECTED)
    add(event.OFFERED, _ANY, [CONNECTED], action.DISCONNECT, to=INIT_WAIT)

    add(event.PEER, [INITIALISING], starting, action.OFFER, to=INIT_WAIT)
    add(event.PEER, [INITIALISING], [CLOSING], to=CLOSING)
    add(event.PEER, [INIT_WAIT], [INITIALISED, CONNECTED], action.CONNECT, to=CONNECTED)
    add(event.PEER, [INIT_WAIT], [CLOSING], to=CLOSING)
    add(event.PEER, [INITIALISED], _ANY, action.OFFER, to=INIT_WAIT)  # not a state of ours
    add(event.PEER, _LIVE, [UNKNOWN, CLOSED], action.DISCONNECT, to=CLOSED)
    add(event.PEER, _LIVE, [INITIALISING], action.DISCONNECT, action.OFFER, to=INIT_WAIT)
    add(event.PEER, _LIVE, [CLOSING], to=CLOSING)
    add(event.PEER, [CONNECTED], [RECONFIGURING], action.RECONFIGURE, to=RECONFIGURED)
    add(event.PEER, [RECONFIGURING], [RECONFIGURED], action.RECONFIGURE, to=CONNECTED)
    add(event.PEER, [RECONFIGURED], [CONNECTED], action.RECONFIGURE, to=CONNECTED)
    add(event.PEER, [CONNECTED], [CONNECTED], action.REREAD)
    add(event.PEER, [CLOSING], _NOT_CONNECTED, action.DISCONNECT, to=CLOSED)
    add(event.PEER, [CLOSED], [INITIALISING, INITIALISED], action.OFFER, to=INIT_WAIT)

    for leave, last in ((event.UNPLUG, (action.REMOVE,)), (event.CLOSE, ())):
        add(leave, [UNKNOWN, INITIALISING, INIT_WAIT, INITIALISED], _ANY, *last, to=CLOSED)
        add(leave, _LIVE, [INIT_WAIT, INITIALISED, *_LIVE, CLOSING], to=CLOSING)
        add(leave, [*_LIVE, CLOSING], _NOT_CONNECTED, action.DISCONNECT, *last, to=CLOSED)
        add(leave, [CLOSED], _ANY, *last)

    add(event.RESIZE, [CONNECTED], _ANY, action.UPDATE_SIZE)
    add(event.EXCHANGE, _LIVE, _ANY, action.EXCHANGE)
    add(event.RECONFIGURE, [CONNECTED], [CONNECTED], to=RECONFIGURING)
    add(event.FATAL, _ANY, _ANY, action.DISCONNECT, action.REPORT, to=CLOSING)
    add(event.GONE, _ANY, _ANY, action.DISCONNECT, action.REMOVE, to=UNKNOWN)
    return rules.table


FRONTEND = _frontend_table()
# Of a class whose frontends publish Connected when they are Initialised: a backend that starts
# again takes them for connected to its predecessor, and waits until they are not.
EAGER_FRONTEND = FRONTEND | {
    (INITIALISED, Event.PEER, INITIALISING): Step((Action.DISCONNECT,), INITIALISING)
}
# Of a class whose frontends publish their ring without a look at the backend, and whose toolstack
# asks for reconfigurations, by writing Reconfiguring over the backend's Connected (PV-SCSI, for
# LUNs that come and go): the frontend goes to Reconfiguring too, the backend to Reconfigured, the
# frontend and then the backend to Connected.
HOTPLUG_FRONTEND = FRONTEND | {
    (INITIALISING, Event.PEER, INITIALISING): Step((Action.CONNECT,), INITIALISED),
    (CONNECTED, Event.PEER, RECONFIGURING): Step((Action.RECONFIGURE,), RECONFIGURING),
    (RECONFIGURING, Event.PEER, RECONFIGURING): Step((), RECONFIGURING),
    (RECONFIGURING, Event.PEER, CONNECTED): Step((Action.RECONFIGURE,), CONNECTED),
}
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
        """The driver's CONNECT failed and left nothing behind."""
        self.connected = False

    def __repr__(self) -> str:
        held = "connected" if self.connected else "not connected"
        return f"<XenbusMachine {self.state.name.lower()} {held}>"


def parse_state(text: str | None) -> XenbusState:
    """A `state` node's value; absent, garbled or out of range is Unknown, as Linux has it."""
    digits = (text or "").strip()
    return XenbusState(int(digits)) if digits in _DIGITS else XenbusState.UNKNOWN
