"""Sessions: an initiator's connections, its window of commands, and what it has under way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pvdrivers._core import ffi, lib
from pvdrivers.tools.pvbridge.iscsi.carried import CarriedTask
from pvdrivers.tools.pvbridge.iscsi.chap import LoginRefusedError
from pvdrivers.tools.pvbridge.iscsi.initiator import Guests, Initiator
from pvdrivers.tools.pvbridge.iscsi.login import Login
from pvdrivers.tools.pvbridge.iscsi.parameters import Parameters
from pvdrivers.tools.pvbridge.iscsi.window import CommandWindow

if TYPE_CHECKING:
    from pvdrivers.tools.pvbridge.iscsi.connection import Connection
    from pvdrivers.tools.pvbridge.iscsi.task import Task

TOO_MANY_CONNECTIONS = 0x0206
NO_SESSION = 0x020A
SERVICE_UNAVAILABLE = 0x0301


@dataclass(eq=False, slots=True)
class Session:
    """`initiator` is None for discovery."""

    name: str
    isid: bytes
    tsih: int
    initiator: Initiator | None
    parameters: Parameters
    cdata: Any  # `struct pv_iscsi_session *`: what the data plane has of it
    connections: dict[int, Connection] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)  # by initiator task tag
    window: CommandWindow[Callable[[], None]] = field(init=False)
    _transfer_tags: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.window = CommandWindow(self.cdata)

    # ---- commands that have not been answered ----------------------------------------------

    def has(self, tag: int) -> bool:
        """Whether a command has it, carried out in Python or by the data plane."""
        return bool(lib.pv_iscsi_has_tag(self.cdata, tag))

    def add(self, task: Task) -> None:
        """Its tag is nobody's."""
        if not lib.pv_iscsi_take_tag(self.cdata, task.tag):
            raise MemoryError
        self.tasks[task.tag] = task

    def forget(self, task: Task) -> None:
        if self.tasks.get(task.tag) is task:
            del self.tasks[task.tag]
            lib.pv_iscsi_give_tag(self.cdata, task.tag)

    def under_way(self) -> list[Task | CarriedTask]:
        """All of them."""
        return [*self.tasks.values(), *CarriedTask.of(self)]

    def of_connection(self, connection: Connection) -> list[Task | CarriedTask]:
        """Those allegiant to it."""
        return [task for task in self.under_way() if task.is_of(connection)]

    def next_transfer_tag(self) -> int:
        return next(self._transfer_tags) & 0x7FFFFFFF

    def flush(self) -> None:
        """Commands of the data plane have ended, and their answers are in the output."""
        for connection in self.connections.values():
            connection.wire.flush()

    async def end(self) -> None:
        """Ends its connections and what they have under way."""
        for connection in list(self.connections.values()):
            connection.close()
        await self.end_tasks(self.under_way())
        if self.initiator and self.initiator.frontend:
            self.initiator.frontend.on_handed_out.discard(self.flush)

    async def end_tasks(self, tasks: Sequence[Task | CarriedTask]) -> None:
        """They are not answered."""
        for task in tasks:
            task.cancel()
        await asyncio.gather(*(task.ended() for task in tasks))


class Sessions:
    """All sessions of a target."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests
        self._by_tsih: dict[int, Session] = {}
        self._next = itertools.count(1)
        self._joining = asyncio.Lock()

    async def enter(self, login: Login, connection: Connection) -> Session:
        """The session that a connection is of when its login has succeeded: a new one, in place of
        an earlier one with the same ISID, or one that it is added to. LoginRefusedError."""
        async with self._joining:
            if login.tsih:
                session = self._session_of(login)
            else:
                await self._reinstate(login)
                session = await self._create(login)
            if old := session.connections.get(login.cid):  # its initiator has given it up
                old.close()
                await session.end_tasks(session.of_connection(old))
            session.connections[login.cid] = connection
            return session

    def _session_of(self, login: Login) -> Session:
        session = self._by_tsih.get(login.tsih)
        if not session or (session.name, session.isid) != (login.initiator, login.isid):
            raise LoginRefusedError(NO_SESSION, f"{login.initiator} has no session {login.tsih}")
        is_full = len(session.connections) >= session.parameters.connections
        if is_full and login.cid not in session.connections:
            raise LoginRefusedError(TOO_MANY_CONNECTIONS, "the session has as many as agreed")
        return session

    async def _reinstate(self, login: Login) -> None:
        for session in list(self._by_tsih.values()):
            if (session.name, session.isid) == (login.initiator, login.isid):
                await self._remove(session)

    async def _create(self, login: Login) -> Session:
        tsih = next(n for n in (n & 0xFFFF for n in self._next) if n and n not in self._by_tsih)
        initiator = None
        if not login.discovery:
            try:
                initiator = await self._guests.join(login.initiator)
            except OSError as error:
                raise LoginRefusedError(SERVICE_UNAVAILABLE, str(error)) from None
        session = Session(
            login.initiator,
            login.isid,
            tsih,
            initiator,
            login.parameters,
            _data_plane(login, initiator),
        )
        if initiator and initiator.frontend:
            initiator.frontend.on_handed_out.add(session.flush)
        self._by_tsih[tsih] = session
        return session

    async def leave(self, session: Session, connection: Connection) -> None:
        """The connection has ended. With the last one ends the session: error recovery level 0."""
        async with self._joining:
            for cid, known in list(session.connections.items()):
                if known is connection:
                    del session.connections[cid]
            await session.end_tasks(session.of_connection(connection))
            if not session.connections:
                await self._remove(session)

    async def _remove(self, session: Session) -> None:
        if self._by_tsih.pop(session.tsih, None) is None:
            return
        await session.end()
        if session.initiator and session.name not in {s.name for s in self._by_tsih.values()}:
            await self._guests.leave(session.name)

    async def close(self) -> None:
        async with self._joining:
            for session in list(self._by_tsih.values()):
                await self._remove(session)


def _data_plane(login: Login, initiator: Initiator | None) -> Any:
    """A `struct pv_iscsi_session *`, with what it has to know of a command that needs no Python."""
    session = lib.pv_iscsi_session_create(login.cmd_sn)
    if session == ffi.NULL:
        raise MemoryError
    session = ffi.gc(session, lib.pv_iscsi_session_release)
    session.first_burst = login.parameters.first_burst
    session.immediate_data = login.parameters.immediate_data
    if initiator:
        session.max_transfer = initiator.max_transfer
        luns = [(lun, initiator.block_size(lun)) for lun in initiator.luns]
        if not lib.pv_iscsi_set_luns(session, ffi.new("struct pv_iscsi_lun[]", luns), len(luns)):
            raise MemoryError
    return session
