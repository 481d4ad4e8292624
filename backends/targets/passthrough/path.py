"""One initiator's way to a LUN: a session, and another one when that is lost."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.passthrough.session import Session
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense, SenseKey

log = logging.getLogger("pvdrivers.backends.targets")

PATIENCE = 60.0  # seconds that a command waits for a session, unless told otherwise
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds between two attempts to have one
TEST_UNIT_READY = bytes(6)
MAX_ATTENTIONS = 16
NEXUS_LOSS, NEW_MEDIUM = (0x29, 0x07), 0x28
UNREACHABLE = (0x08, 0x00)  # logical unit communication failure
NO_SUCH_LUN = (0x25, 0x00)  # logical unit not supported
OpenSession = Callable[[], Awaitable[Session]]


class OutcomeUnknown(Exception):
    """The session was lost while a command was in flight."""


class LunPath:
    """On the running loop. `name` is for the log. `was_there`: the initiator knew the unit by an
    earlier session, which it is to be told is lost."""

    def __init__(
        self, name: str, open_session: OpenSession, patience: float, was_there: bool
    ) -> None:
        self._name = name
        self._open_session = open_session
        self._patience = patience
        self._is_first = not was_there
        self._session: Session | None = None
        self._is_up = asyncio.Event()
        self._sent: dict[Command, Session] = {}
        self._attentions: deque[bytes] = deque(maxlen=MAX_ATTENTIONS)  # sense data
        self._loop = asyncio.get_running_loop()
        self._keeping = self._loop.create_task(self._keep_session())

    # ---- the session -----------------------------------------------------------------------

    async def _keep_session(self) -> None:
        while True:
            self._session = session = await self._next_session()
            self._is_up.set()
            reason = await asyncio.shield(session.lost)
            log.warning("%s: the session is lost: %s", self._name, reason)
            session.close()

    async def _next_session(self) -> Session:
        pause, told = FIRST_PAUSE, ""
        while True:
            try:
                session = await self._try_session()
            except Exception as error:
                if str(error) != told:
                    told = str(error)
                    defect = None if isinstance(error, OSError) else error
                    log.warning("%s: no session: %s", self._name, told, exc_info=defect)
            else:
                if told or not self._is_first:
                    log.info("%s: there is a session", self._name)
                self._is_first = False
                return session
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _try_session(self) -> Session:
        session = await self._open_session()
        try:
            await self._take_attentions(session)
        except BaseException:
            session.close()
            raise
        return session

    async def _take_attentions(self, session: Session) -> None:
        """What the device has to tell, and that there is a new session, if it does not say so
        itself. ConnectionError: it is of no use."""
        found: list[bytes] = []
        is_told = self._is_first
        while len(found) < MAX_ATTENTIONS:
            answer = await session.execute(Command(Nexus(self._name), TEST_UNIT_READY))
            sense = Sense.parse(answer.sense)
            if answer.status != Status.CHECK_CONDITION or sense is None:
                break
            if (sense.asc, sense.ascq) == NO_SUCH_LUN:  # a target that starts has no LUNs at first
                raise ConnectionError("the target has no such LUN now")
            if sense.key != SenseKey.UNIT_ATTENTION:
                break
            found.append(answer.sense)
            is_told = is_told or sense.asc == NEXUS_LOSS[0]
        if not is_told:
            found.insert(0, Sense(SenseKey.UNIT_ATTENTION, *NEXUS_LOSS).fixed())
        self._attentions.extend(found)

    def take_attention(self) -> Answer | None:
        """The oldest that waits; it waits no more."""
        if not self._attentions:
            return None
        return Answer(Status.CHECK_CONDITION, sense=self._attentions.popleft())

    @property
    def has_new_medium(self) -> bool:
        """Whether the device has told so, and the initiator has not heard it yet."""
        told = (Sense.parse(sense) for sense in self._attentions)
        return any(sense and sense.asc == NEW_MEDIUM for sense in told)

    # ---- commands --------------------------------------------------------------------------

    async def execute(self, command: Command) -> Answer:
        """Sends it again when the session was lost. NOT READY: there was none for long."""
        deadline = float("inf")
        while True:
            if not self.is_up:
                deadline = min(deadline, self._loop.time() + self._patience)
            session = await self._up(deadline)
            if session is None or self._loop.time() > deadline:
                return unreachable()
            try:
                return await self._send(session, command)
            except OutcomeUnknown:
                pass

    async def execute_once(self, command: Command) -> Answer:
        """NOT READY: there was no session for long, and it was not sent. OutcomeUnknown: it was,
        and there is no answer."""
        session = await self._up(self._loop.time() + self._patience)
        return await self._send(session, command) if session else unreachable()

    async def wait(self) -> bool:
        """For a session. False: there was none for long."""
        return await self._up(self._loop.time() + self._patience) is not None

    @property
    def is_up(self) -> bool:
        return self._session is not None and not self._session.lost.done()

    async def _up(self, deadline: float) -> Session | None:
        while not self.is_up:
            self._is_up.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._is_up.wait()
            except TimeoutError:
                return None
        return self._session

    async def _send(self, session: Session, command: Command) -> Answer:
        self._sent[command] = session
        try:
            return await session.execute(command)
        except ConnectionError as error:
            raise OutcomeUnknown from error
        finally:
            del self._sent[command]

    def abort(self, command: Command) -> bool:
        """False: it is with the device, which is asked to end it."""
        if command not in self._sent:
            return True
        self._sent[command].abort(command)
        return False

    def reset(self) -> None:
        """OSError: it cannot be done."""
        if self._session is None or not self.is_up:
            raise ConnectionError("there is no session")
        self._session.reset()

    def close(self) -> None:
        """There are no commands any more. A second call does nothing."""
        if not self._loop.is_closed():
            self._keeping.cancel()
        if self._session:
            self._session.close()
            self._session = None


def unreachable() -> Answer:
    """It was not carried out, or nobody minds if it was."""
    sense = Sense(SenseKey.NOT_READY, *UNREACHABLE).fixed()
    return Answer(Status.CHECK_CONDITION, sense=sense)
