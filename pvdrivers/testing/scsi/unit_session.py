"""A session whose device is a logical unit of ours, and which is lost when a test wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pvdrivers.backends.targets.command import ABORTED, Answer, Command, Nexus
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.backends.targets.passthrough.session import Session
from pvdrivers.testing.scsi.unit_initiator import answer_of

Fate = Callable[[Command], str]
GOOD, LOST_BEFORE, LOST_AFTER, HANGS = "good", "lost before", "lost after", "hangs"


class UnitSession(Session):
    """`fate` says of each command what becomes of it: it is carried out and answered, the session
    is lost before it is carried out or after, or it hangs until it is aborted. The unit knows the
    initiator by `name`, as long as the session is there."""

    def __init__(self, unit: LogicalUnit, name: str, fate: Fate = lambda command: GOOD) -> None:
        super().__init__()
        self._unit = unit
        self._nexus = Nexus(name)
        self._fate = fate
        self._hanging: dict[Command, asyncio.Future[Answer]] = {}
        self._is_closed = False
        unit.attach(self._nexus)

    async def execute(self, command: Command) -> Answer:
        self.check_open()
        fate = self._fate(command)
        if fate == LOST_BEFORE:
            self.lose()
        if fate == HANGS:
            hanging: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._hanging[command] = hanging
            return await hanging
        self.check_open()
        data = bytes(command.data_out)
        answer = answer_of(self._unit, Command(self._nexus, command.cdb, data, command.room))
        await asyncio.sleep(0)
        if fate == LOST_AFTER:
            self.lose()
        self.check_open()
        if command.room:
            answer = answer._replace(data=answer.data[: command.room])
        return answer

    def lose(self) -> None:
        if not self.lost.done():
            self.lost.set_result("a test wants it so")
            for hanging in self._hanging.values():
                hanging.set_exception(ConnectionError("it is lost"))
            self._hanging.clear()

    def abort(self, command: Command) -> None:
        if hanging := self._hanging.pop(command, None):
            hanging.set_result(ABORTED)

    def reset(self) -> None:
        self.check_open()
        self._unit.reset(self._nexus)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._unit.detach(self._nexus)
            self.lose()
