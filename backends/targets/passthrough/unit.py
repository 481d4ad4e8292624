"""A logical unit whose commands go to a device that others may use too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from pvdrivers.backends.targets.command import DEFECT, Answer, CheckCondition, Command, Nexus
from pvdrivers.backends.targets.journal import Journal, journal_size
from pvdrivers.backends.targets.logical_unit import Done, LogicalUnit, UnitStatus
from pvdrivers.backends.targets.passthrough.commands import TAPE, Passed
from pvdrivers.backends.targets.passthrough.path import (
    PATIENCE,
    UNREACHABLE,
    LunPath,
    OpenSession,
    OutcomeUnknown,
    unreachable,
)
from pvdrivers.backends.targets.passthrough.policy import Policy
from pvdrivers.backends.targets.passthrough.records import ROOM, Records
from pvdrivers.backends.targets.passthrough.tape_position import (
    TapePosition,
    only_moves,
    written_objects,
)
from pvdrivers.backends.targets.spc.state import luns_of
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense, SenseKey

log = logging.getLogger("pvdrivers.backends.targets")

DEPTH = 32
DESPITE_ATTENTION = (0x03, 0x12, 0xA0)  # REQUEST SENSE, INQUIRY, REPORT LUNS
REPORT_LUNS = 0xA0
ATTEMPTS = 4  # to send one command that must not be carried out twice
OUTCOME_UNKNOWN = Answer(
    Status.CHECK_CONDITION, sense=Sense(SenseKey.ABORTED_COMMAND, *UNREACHABLE).fixed()
)
"""The command may have been carried out, wholly or in part, or not."""


class PassThrough(LogicalUnit):
    """`open_session` makes an initiator's session; each initiator has its own."""

    depth = DEPTH
    journal_room = ROOM

    def __init__(
        self,
        name: str,
        open_session: Callable[[Nexus], OpenSession],
        policy: Policy,
        device_type: int | None,
        *,
        patience: float = PATIENCE,
        depth: int = DEPTH,
        missing: Exception | None = None,
    ) -> None:
        """`name` is the device's, whichever way it is opened; no other unit may be on it.
        `device_type`: None when the device is not there, which `missing` says; then it is served
        if an earlier process had it. `depth`: of commands that are in flight at the same time."""
        self._name = name
        self.files = {name: True}
        self._depth = depth
        self._open_session = open_session
        self._policy = policy
        self._patience = patience
        self._missing = missing
        self._records = Records(Journal(bytearray(journal_size(ROOM)), ROOM))
        self._position = TapePosition()
        self._paths: dict[Nexus, LunPath] = {}
        self._running: dict[Command, _Running] = {}
        if device_type is not None:
            self._be(device_type)

    def _be(self, device_type: int) -> None:
        self.device_type = device_type
        self.depth = (
            1 if device_type == TAPE else self._depth
        )  # where a tape stands is known in between

    def take_up(self, journal: Journal) -> None:
        self._records = Records(journal)
        if self._missing:
            if self._records.device_type is None:
                raise self._missing
            self._be(self._records.device_type)
        self._keep()

    def _keep(self) -> None:
        self._records.keep(self.device_type, {nexus.name for nexus in self._paths})

    # ---- initiators ------------------------------------------------------------------------

    def attach(self, nexus: Nexus) -> None:
        was_there = nexus.name in self._records.initiators_before
        self._paths[nexus] = LunPath(
            f"{self._name}, {nexus.name}", self._open_session(nexus), self._patience, was_there
        )
        self._keep()

    def detach(self, nexus: Nexus) -> None:
        self._paths.pop(nexus).close()
        self._keep()

    def reset(self, nexus: Nexus) -> None:
        self._position.forget()
        self._paths[nexus].reset()

    def close(self) -> None:
        for path in self._paths.values():
            path.close()
        self._paths.clear()

    # ---- commands --------------------------------------------------------------------------

    def start(self, command: Command, done: Done) -> None:
        try:
            passed = self._policy.check(self.device_type, command.cdb)
            answer = self._answer_now(command)
        except CheckCondition as error:
            answer = Answer(error.status, error.data, error.sense.fixed())
        if answer:
            done(answer)
            return
        sent = _sent(passed, self._policy.asked(command))
        path = self._paths[command.nexus]
        task = asyncio.get_running_loop().create_task(self._carry_out(path, passed, sent))
        self._running[command] = _Running(task, path, sent)
        task.add_done_callback(partial(self._ended, command, done))

    def _answer_now(self, command: Command) -> Answer | None:
        """What needs no device. CheckCondition: so does what is wrong."""
        if command.cdb[0] == REPORT_LUNS:
            return Answer(data=luns_of(command))
        return self._records.answer_of(command.identity)

    def _ended(self, command: Command, done: Done, task: asyncio.Task[Answer]) -> None:
        del self._running[command]
        if task.cancelled():
            return
        if error := task.exception():
            log.error("%r: command %s", self, command.cdb.hex(" "), exc_info=error)
            done(DEFECT)
            return
        answer = task.result()
        done(answer._replace(data=self._policy.shown(self.device_type, command, answer.data)))

    def abort(self, command: Command) -> bool:
        running = self._running[command]
        if not running.path.abort(running.sent):
            return False
        running.task.cancel()
        return True

    async def _carry_out(self, path: LunPath, passed: Passed, command: Command) -> Answer:
        if self._records.is_begun(command.identity):
            return await self._finish_begun(path, command)
        if not await path.wait():
            return unreachable()
        if command.cdb[0] not in DESPITE_ATTENTION and (told := path.take_attention()):
            return told  # a tape, say, may not stand where its initiator thinks
        if passed.once:
            return await self._carry_out_once(path, command)
        answer = await path.execute(command)
        self._position.follow(command.cdb, answer)
        return answer

    # ---- what must not be carried out twice ------------------------------------------------

    async def _carry_out_once(self, path: LunPath, command: Command) -> Answer:
        place = await self._place(path, command)
        self._records.begin(command.identity, place)
        try:
            answer = await self._send_once(path, command, place)
        except asyncio.CancelledError:
            self._records.drop(command.identity)
            raise
        self._records.end(command.identity, answer)
        return answer

    async def _finish_begun(self, path: LunPath, command: Command) -> Answer:
        """One that a process which was killed had sent, maybe."""
        place = self._records.place_before(command.identity)
        answer = await self._find_out(path, command, place)
        self._records.end(command.identity, answer)
        return answer

    async def _place(self, path: LunPath, command: Command) -> int | None:
        """Where a tape stands; None: this is none, or it does not say."""
        if self.device_type != TAPE:
            return None
        return await self._position.find(command.nexus, path.execute)

    async def _send_once(
        self, path: LunPath, command: Command, place: int | None, attempts: int = ATTEMPTS
    ) -> Answer:
        try:
            answer = await path.execute_once(command)
        except OutcomeUnknown:
            return await self._find_out(path, command, place, attempts - 1)
        self._position.follow(command.cdb, answer)
        return answer

    async def _find_out(
        self, path: LunPath, command: Command, place: int | None, attempts: int = ATTEMPTS
    ) -> Answer:
        """Its answer is lost, and it stood at `place` before: what has become of it? What was not
        carried out, or can be again, is."""
        self._position.forget()
        now = await self._place(path, command) if place is not None and attempts else None
        if place is None or now is None or path.has_new_medium:
            return OUTCOME_UNKNOWN
        objects = written_objects(command.cdb)
        if objects and now == place + objects:
            return Answer()
        if now != place:
            back = TapePosition.locate(command.nexus, place)
            if not only_moves(command.cdb) or (await path.execute(back)).status != Status.GOOD:
                return OUTCOME_UNKNOWN
            self._position.forget()
        return await self._send_once(path, command, place, attempts)

    def status(self) -> UnitStatus:
        return UnitStatus("pass-through")

    def __repr__(self) -> str:
        return f"<PassThrough to {self._name}>"


class _Running(NamedTuple):
    task: asyncio.Task[Answer]
    path: LunPath
    sent: Command


def _sent(passed: Passed, command: Command) -> Command:
    """With data in the direction that the command has: a ring may leave that open."""
    if passed.sends:
        return Command(command.nexus, command.cdb, command.data_out, 0, command.identity)
    return Command(command.nexus, command.cdb, b"", command.room, command.identity)
