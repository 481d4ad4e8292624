"""The asyncio driver of one device: it feeds the tables of `states` and carries out their steps.

A device reads both states whenever anything it watches has changed. Any number of changes cause one
read (XSA-349), so a peer that rewrites its keys in a loop costs no memory. Hooks run one at a
time, in the device's own task, so two never run at once.

What a peer does wrong (`PeerError` from a hook) is written to the error node, counted, and closes
this device; so does any other failure of a hook. When xenstore itself is lost, a connected device
goes on serving until its user closes it or it fails; any other ends with the exception.
"""

import asyncio
import errno
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.xenbus.states import (
    BACKEND,
    FRONTEND,
    Action,
    Event,
    Table,
    XenbusMachine,
    XenbusState,
    parse_state,
)
from pvdrivers.xenstore.client import Transaction, Watch, XenstoreClient
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.operations import ABSENT, asks_read, asks_remove, asks_write, raise_first

log = logging.getLogger("pvdrivers.xenbus")

ERROR_TEXT_MAX = 512  # bytes of a message written to the error node
ABORT_PATIENCE = 25.0  # seconds; less than service managers have with a daemon
CONNECTING = (XenbusState.INITIALISING, XenbusState.INITIALISED)


class Vanished(Exception):
    """The device's directory is no longer there; writing to it would create it again."""


class XenbusDevice:
    """What both ends share. A driver is a subclass of one end that fills in the hooks.

    `path` is the device's own directory, absolute. `start` begins to drive it; the device ends by
    itself when its directory vanishes or the toolstack unplugs it, and by `close` or `abort`.
    """

    table: Table
    peer_key: str  # where the other end's directory is named
    own_watches: tuple[str, ...] = ("state",)
    peer_watches: tuple[str, ...] = ("state",)
    published_states: Mapping[XenbusState, XenbusState] = {}  # where they differ from this end's

    def __init__(self, client: XenstoreClient, path: str) -> None:
        self.client = client
        self.path = path
        self.peer_path = ""
        self.peer_domid = -1
        self.peer_state = XenbusState.UNKNOWN
        self.fsm = XenbusMachine(self.table)
        self.peer_errors = 0
        self.last_error: str | None = None
        self.task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()
        self._published = XenbusState.UNKNOWN  # what the own state node says
        self._reached = XenbusState.UNKNOWN  # the last state whose actions are done
        self._failure = ""  # why the device closes without having been asked to
        self._unoffered = False  # OFFER has failed, and the other end has not moved since
        self._requests: dict[Event, str] = {}
        self._watches: list[Watch] = []
        self._closing = False
        self._removed = False

    # ---- what a driver fills in ------------------------------------------------------------

    async def connect(self) -> None:
        """CONNECT. Must leave nothing behind when it raises."""

    async def disconnect(self) -> None:
        """DISCONNECT: gives back everything CONNECT took."""

    async def reread(self) -> None:
        """REREAD: something that is watched has changed, or may have."""

    async def reconfigure(self) -> None:
        """RECONFIGURE."""

    async def failed(self) -> None:
        """After a fatal error: nothing will work until the device is connected again."""

    async def removed(self) -> None:
        """The last hook: nothing will happen on this device any more."""

    async def ready(self) -> bool:
        """Whether CONNECT may happen now; asked again whenever a watch fires."""
        return True

    # ---- what its user calls ---------------------------------------------------------------

    @property
    def state(self) -> XenbusState:
        return self.fsm.state

    @property
    def finished(self) -> bool:
        return self.task is not None and self.task.done()

    def start(self) -> asyncio.Task[None]:
        """Begins to drive the device in a task of the running loop."""
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"xenbus {self.path}")
        return self.task

    async def close(self) -> None:
        """Closes this end in order and waits until the other has followed. The device stays."""
        self._closing = True
        self.request(Event.CLOSE)
        await self._end()

    async def abort(self, patience: float = ABORT_PATIENCE) -> None:
        """Releases everything at once and tells the other end nothing.

        What cannot be released within `patience` seconds, such as a disk that does not answer, is
        left to the device's task, which goes on waiting; `finished` tells when it is done.
        """
        if self.task and not self._removed:  # a second time would leave things half undone
            self.task.cancel()
        await self._end(patience)

    async def _end(self, patience: float | None = None) -> None:
        if self.task:
            await asyncio.wait([self.task], timeout=patience)
            if not self.task.done():
                log.error("%s: not released within %.0f s", self.path, patience)
            elif not self.task.cancelled() and (error := self.task.exception()):
                log.debug("%r ended with %r", self, error)

    async def wait_for(self, *states: XenbusState) -> None:
        """Until this end has published one of `states`.

        Raises PeerError when it never will: the device has been removed, or has failed, or the
        other end closed it before it was connected. Another peer may mend the last two.
        """

        ends = {XenbusState.CLOSING, XenbusState.CLOSED}
        if XenbusState.CLOSED in states:
            ends.remove(XenbusState.CLOSING)

        def is_decided() -> bool:
            if self._reached in states or self.is_gone:
                return True
            return bool(self._failure) and self._reached in ends and not self._requests

        async with self._changed:
            await self._changed.wait_for(is_decided)
        if self._reached not in states:
            raise PeerError(self._failure or self.last_error or f"{self.path} was removed")

    @property
    def is_gone(self) -> bool:
        return self._removed or self.finished

    def request(self, event: Event, reason: str = "") -> None:
        """Queues one of this end's own events for the driver, unless it is queued already."""
        self._requests.setdefault(event, reason)
        self._wake.set()

    def fatal(self, reason: str) -> None:
        """Closes the device for good reason, written to its error node (xenbus_dev_fatal)."""
        self.request(Event.FATAL, reason)

    async def report(self, reason: str, number: int = errno.EINVAL) -> None:
        """Writes the error node, and goes on (xenbus_dev_error)."""
        self.last_error = reason
        log.warning("%s: %s", self.path, reason[:ERROR_TEXT_MAX])
        home, _, device = self.path.removeprefix("/local/domain/").partition("/")
        text = f"{number} {reason}".encode("utf-8", "replace")[:ERROR_TEXT_MAX]
        try:
            await self.client.write(f"/local/domain/{home}/error/{device}/error", text)
        except XenstoreError as error:
            log.debug("%s: no error node: %s", self.path, error)

    async def write_keys(self, keys: Mapping[str, str], without: Iterable[str] = ()) -> None:
        """Writes keys of the own directory in one transaction, those of `without` removed before.

        Vanished when the directory is gone.
        """
        asked = [
            asks_read(f"{self.path}/state"),
            *(asks_remove(f"{self.path}/{key}") for key in without),
            *(asks_write(f"{self.path}/{key}", value) for key, value in keys.items()),
        ]

        async def body(transaction: Transaction) -> None:
            state, *others = await transaction.request_all(asked)
            if isinstance(state, XenstoreError) and state.name in ABSENT:
                raise Vanished(self.path)
            raise_first([state, *others])

        await self.client.transact(body)

    async def read_peer_keys(self, names: Iterable[str]) -> dict[str, str]:
        """Those of the named keys the other end has written, as they were at one moment."""
        async with self.client.transaction(commit=False) as snapshot:
            return await snapshot.read_keys(self.peer_path, names)

    # ---- the task --------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._drive()
        except Vanished:
            log.debug("%s: no such device", self.path)
        except GeneratorExit:
            raise  # the loop is gone without having ended its tasks; nothing can be awaited
        except BaseException:
            await self._let_go()
            raise
        await self._let_go()

    async def _drive(self) -> None:
        await self._find_peer()
        for name in self.own_watches:
            await self._watch(f"{self.path}/{name}")
        self.request(await self._first_event())
        while not self._removed:
            await self._wake.wait()
            try:
                await self._take_steps()
            except ConnectionResetError as error:
                ending = self._closing or Event.FATAL in self._requests
                if ending or not self.fsm.connected:
                    raise
                log.warning("%s: xenstore is lost, the device goes on: %s", self.path, error)

    async def _first_event(self) -> Event:
        return Event.START

    async def _let_go(self) -> None:
        """Undoes everything, whatever state the device is in."""
        self._removed = True
        if self.fsm.connected:
            self.fsm.connected = False
            await self._hook(Action.DISCONNECT)
        try:
            await self.removed()
        finally:
            await self._unwatch()
            async with self._changed:
                self._changed.notify_all()

    async def _find_peer(self) -> None:
        """Learns where the other end is, and watches it."""
        keys = await self.client.read_keys(self.path, (self.peer_key, f"{self.peer_key}-id"))
        peer_path, peer_domid = keys.get(self.peer_key), keys.get(f"{self.peer_key}-id", "")
        if not peer_path or not peer_domid.isdecimal():
            raise Vanished(self.path)
        self.peer_domid = int(peer_domid)
        if peer_path != self.peer_path:
            self.peer_path = peer_path
            for name in self.peer_watches:
                await self._watch(f"{peer_path}/{name}")

    async def _watch(self, path: str) -> None:
        # When xenstore is gone, the device's next request fails and says so.
        self._watches.append(await self.client.watch(path, on_event=self._wake.set))

    async def _unwatch(self) -> None:
        for watch in self._watches:
            await watch.close()
        self._watches.clear()

    async def _take_steps(self) -> None:
        """Takes steps until the states as they are now ask for no more."""
        while not self._removed:
            self._wake.clear()  # this look sees everything that has fired so far
            asked = bool(self._requests)  # then what the states ask for is still to be done
            event, reason = await self._look()
            before = self.state
            due = self.table[self.state, event, self.peer_state].actions
            if Action.CONNECT in due and not await self.ready():
                return
            # A frontend may wait for an offer as long as its guest does not boot.
            if Action.OFFER in due and event is Event.PEER and self._unoffered:
                return
            await self._step(event, reason)
            if self._closing and self.state is XenbusState.CLOSED and not self.fsm.connected:
                self._removed = True
            if self.state is before and not asked and not self._requests:
                return

    async def _look(self) -> tuple[Event, str]:
        """Reads the states; says what is to be taken into account."""
        own, peer, online = await self.client.read_present(
            [f"{self.path}/state", f"{self.peer_path}/state", f"{self.path}/online"]
        )
        peer_state = parse_state(peer)
        self._unoffered = self._unoffered and peer_state is self.peer_state
        self._published, self.peer_state = parse_state(own), peer_state
        if own is None:
            return Event.GONE, ""
        for event in list(self._requests):
            return event, self._requests.pop(event)
        return self._routine_event(online), ""

    def _routine_event(self, online: str | None) -> Event:
        """What a fired watch means for an end whose key `online` says so."""
        return Event.PEER

    async def _step(self, event: Event, reason: str = "") -> None:
        before = self.state
        step = self.fsm.step(event, self.peer_state)
        log.debug("%s: %s, peer %s: %s", self.path, event.name, self.peer_state.name, step)
        if step.state not in (XenbusState.CLOSING, XenbusState.CLOSED):
            self._failure = ""
        elif event is Event.FATAL:
            self._failure = reason
        elif event is Event.PEER and before in CONNECTING and step.state is XenbusState.CLOSED:
            self._failure = f"{self.peer_path} closed before it was connected"
        for action in step.actions:
            if action is Action.REPORT:
                await self.report(reason)
                await self.failed()
            elif action is Action.REMOVE:
                self._removed = True
            elif (failure := await self._hook(action)) is not None:
                if action is Action.CONNECT:
                    self.fsm.connect_failed()
                self._unoffered = self._unoffered or action is Action.OFFER
                await self._step(Event.FATAL, failure)
                return
        # To unplug, a toolstack writes Closing over the state that this end had published.
        if event is not Event.GONE and (step.state is not before or event is Event.UNPLUG):
            await self._publish(step.state)

    async def _hook(self, action: Action) -> str | None:
        """Carries out one action; what went wrong, or None."""
        hook = getattr(self, action.name.lower())
        try:
            await hook()
        except PeerError as error:
            self.peer_errors += 1
            return str(error)
        except UsageError as error:  # a configuration error; its message is complete
            log.debug("%s: %s", self.path, action.name.lower(), exc_info=error)
            return str(error)
        except Vanished:
            self.request(Event.GONE)
            return "the device's directory has vanished"
        except Exception as error:
            log.exception("%s: %s", self.path, action.name.lower())
            return f"{action.name.lower()} failed: {error}"
        return None

    async def _publish(self, state: XenbusState) -> None:
        published = self.published_states.get(state, state)
        if self._published is not published:
            try:
                await self.write_keys({"state": str(int(published))})
                self._published = published
            except Vanished:
                self.request(Event.GONE)
        self._reached = state
        async with self._changed:
            self._changed.notify_all()

    def describe(self) -> str:
        """One line about the device as it is now."""
        line = f"{self.path} {self.state.name.lower()}, peer {self.peer_state.name.lower()}"
        if self.peer_errors:
            line += f", {self.peer_errors} peer errors"
        return line + (f", last error: {self.last_error}" if self.last_error else "")

    def status(self) -> dict[str, Any]:
        """What a daemon tells of the device, for JSON: this, and what its class adds."""
        return {
            "state": self.state.name.lower(),
            "peer_state": self.peer_state.name.lower(),
            "peer_errors": self.peer_errors,
            "last_error": self.last_error,
            "description": self.describe(),
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.describe()}>"


class FrontendDevice(XenbusDevice):
    """A frontend's driver: hooks connect, attach, reread, drain, disconnect, reconfigure."""

    table = FRONTEND
    peer_key = "backend"
    _resetting = False  # true while a backend may hold rings of an earlier connection

    async def attach(self) -> None:
        """ATTACH: the backend is Connected."""

    async def drain(self) -> None:
        """DRAIN: call `drained` once no request is left to be answered; must not wait for it."""
        self.drained()

    def drained(self) -> None:
        self.request(Event.DRAINED)

    def resume(self) -> None:
        """The domain was restored, maybe on another host: look for the backend and start over.

        A backend that is still connected is closed first; that may take any time.
        """
        self.request(Event.RESUME)

    def _routine_event(self, online: str | None) -> Event:
        return Event.RESUME if self._resetting else Event.PEER

    async def _step(self, event: Event, reason: str = "") -> None:
        if event is Event.RESUME:
            await self._find_peer()
            self.peer_state = parse_state(
                await self.client.read_optional(f"{self.peer_path}/state")
            )
        if event in (Event.START, Event.RESUME):
            self._resetting = True
        elif event in (Event.CLOSE, Event.FATAL):
            self._resetting = False
        await super()._step(event, reason)
        if self.state is XenbusState.INITIALISING:
            self._resetting = False


class BackendDevice(XenbusDevice):
    """A backend's driver: hooks offer, connect, reread, update_size, exchange, disconnect,
    reconfigure."""

    table = BACKEND
    peer_key = "frontend"
    own_watches: tuple[str, ...] = ("state", "online")

    async def offer(self) -> None:
        """OFFER: publish what the frontend must know before it allocates."""

    async def update_size(self) -> None:
        """UPDATE_SIZE."""

    async def exchange(self) -> None:
        """EXCHANGE: stop the queues, answer what they have taken, and go on with whatever serves
        the device from now on."""

    async def inherit(self) -> bool:
        """Whether CONNECT can take up a predecessor's connection as it is, with no request lost;
        asked once, while both ends are Connected."""
        return False

    async def offer_stands(self) -> bool:
        """Whether what a predecessor offered still holds, and its frontend can be connected on the
        rings it has published; asked once, while the predecessor's state is InitWait and the
        frontend is Connected."""
        return False

    async def _first_event(self) -> Event:
        paths = [f"{self.path}/state", f"{self.peer_path}/state"]
        own, peer = map(parse_state, await self.client.read_present(paths))
        if peer is XenbusState.CONNECTED:
            if own is XenbusState.CONNECTED and await self.inherit():
                return Event.ADOPT
            if own is XenbusState.INIT_WAIT and await self.offer_stands():
                return Event.OFFERED
        return Event.START

    def _routine_event(self, online: str | None) -> Event:
        if online is not None and online.strip() == "0":
            return Event.UNPLUG
        if self._published is XenbusState.CLOSING and self.state not in (
            XenbusState.CLOSING,
            XenbusState.CLOSED,
        ):
            return Event.CLOSE  # a toolstack asks by writing the state alone
        return Event.PEER
