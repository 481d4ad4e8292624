"""A logical unit between the queues that submit commands and the code that carries them out.

It carries out one command after the other, or as many at a time as the unit can. After each command
READ and WRITE get the direct access that the unit then permits, and before one that needs the unit
for itself all direct access ends.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.backends.owned import created
from pvdrivers.backends.targets.command import ABORTED, DEFECT, Answer, Command, Nexus
from pvdrivers.backends.targets.direct_access import DirectAccess, UnitNexus
from pvdrivers.backends.targets.logical_unit import LogicalUnit, ask
from pvdrivers.backends.targets.unit_servers import LoopServer, ThreadServer
from pvdrivers.scsi.result import (
    TASK_MANAGEMENT_FAILURE,
    TASK_MANAGEMENT_SUCCESS,
    HostByte,
    Result,
    Status,
)

log = logging.getLogger("pvdrivers.backends.targets")

BATCH = 64  # commands taken at once
RESET = Answer(Status.TASK_ABORTED, host=HostByte.RESET)


@dataclass(eq=False, slots=True)
class _Task:
    """A command, or a LOGICAL UNIT RESET, that was taken."""

    cdata: Any
    attached: UnitNexus
    command: Command
    is_query: bool = False
    is_exclusive: bool = False  # READ and WRITE have to wait for it
    answer: Answer | None = None
    is_started: bool = False
    asked_to_abort: bool = False


class ServedUnit:
    """Owns a logical unit. `serve` is called when `fileno()` is readable, always by one thread:
    `start` makes the running loop do so or, for a unit that may block, a thread."""

    def __init__(self, unit: LogicalUnit) -> None:
        """OSError: there is no room for it."""
        self.unit = unit
        store = unit.store.pointer if unit.store else ffi.NULL
        self.pointer = created(lib.pv_scsi_unit_create(store), repr(unit))
        self._taken = ffi.new("struct pv_scsi_command *[]", BATCH)
        self._numbers = count(1)
        self._nexuses: dict[int, UnitNexus] = {}
        self._calls: deque[Callable[[], None]] = (
            deque()
        )  # of other threads, for the one that serves
        self._waiting: deque[_Task] = deque()
        self._started: list[_Task] = []
        self._answered: list[Any] = []  # not told yet
        self._direct = DirectAccess(unit, self.pointer, self._nexuses.values())
        self._server: LoopServer | ThreadServer | None = None

    # ---- from any thread -------------------------------------------------------------------

    def attach(self, nexus: Nexus) -> UnitNexus:
        """OSError: no memory."""
        attached = UnitNexus(self.pointer, nexus, next(self._numbers))
        self._call(lambda: self._attach(attached))
        return attached

    def luns_changed(self, attached: UnitNexus) -> None:
        """The LUNs that its nexus names are others than before."""
        self._call(lambda: self._luns_changed(attached))

    def abort(self, attached: UnitNexus) -> None:
        """Ends the commands of a nexus that is to be detached, as ABORT does, also those that are
        still to come."""
        attached.is_leaving = True
        lib.pv_scsi_unit_wake(self.pointer)

    def detach(self, attached: UnitNexus, is_lost: bool = True) -> None:
        """No queue uses it any more. Not `is_lost`: a successor of this process takes it up, and
        for its initiator nothing changes."""
        self._call(lambda: self._detach(attached, is_lost))

    def start(self) -> None:
        """Serves the unit from now on."""
        self._server = ThreadServer(self) if self.unit.may_block else LoopServer(self)

    def close(self) -> None:
        """Ends that, and closes the unit, which has no nexus any more. May block as the unit
        does."""
        if self._server:
            self._server.stop()
            self._server = None
        self.serve()  # what was asked for meanwhile
        if self.pointer is not None:  # which uses the unit's store
            lib.pv_scsi_unit_destroy(self.pointer)
            self.pointer = None
        self.unit.close()

    def _call(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        lib.pv_scsi_unit_wake(self.pointer)

    def __repr__(self) -> str:
        return repr(self.unit)

    # ---- by the thread that serves ---------------------------------------------------------

    def fileno(self) -> int:
        return int(lib.pv_scsi_unit_fd(self.pointer))

    def serve(self) -> None:
        """Does what there is to do. What waits for something else makes `fileno()` readable again
        when it goes on."""
        if self.pointer is None:
            return
        # Taken first: an initiator is attached before its first command comes.
        number = int(lib.pv_scsi_unit_take(self.pointer, self._taken, BATCH))
        while self._calls:
            self._calls.popleft()()
        for cdata in self._taken[0:number]:
            self._add(cdata)
        self._drop_aborted()
        while self._finish_answered() or self._start_next():
            pass
        self._tell()

    def _attach(self, attached: UnitNexus) -> None:
        self._nexuses[attached.number] = attached
        ask(self.unit, lambda: self.unit.attach(attached.nexus), None)
        self._direct.permit()

    def _luns_changed(self, attached: UnitNexus) -> None:
        ask(self.unit, lambda: self.unit.luns_changed(attached.nexus), None)
        self._direct.permit()

    def _detach(self, attached: UnitNexus, is_lost: bool) -> None:
        del self._nexuses[attached.number]
        lib.pv_scsi_nexus_detach(attached.pointer)
        if is_lost:
            ask(self.unit, lambda: self.unit.detach(attached.nexus), None)
            self._direct.permit()

    def _add(self, cdata: Any) -> None:
        attached = self._nexuses[lib.pv_scsi_nexus_number(cdata.nexus)]
        data_out: bytes | memoryview = b""
        if cdata.data_out:
            data_out = memoryview(ffi.buffer(cdata.data, cdata.data_out)).toreadonly()
        cdb = bytes(ffi.buffer(cdata.cdb, cdata.cdb_length))
        identity = bytes(ffi.buffer(cdata.identity))
        command = Command(attached.nexus, cdb, data_out, int(cdata.room), identity)
        task = _Task(cdata, attached, command)
        if cdata.reset:
            self._abort_all()
        else:
            task.is_query = ask(self.unit, lambda: self.unit.is_query(cdb), False)
        task.is_exclusive = self._is_exclusive(task)
        self._waiting.append(task)

    # ---- commands that end before their time -----------------------------------------------

    def _drop_aborted(self) -> None:
        """Answers those that their initiator no longer wants."""
        for task in [task for task in self._waiting if _is_unwanted(task)]:
            self._waiting.remove(task)
            self._finish(task, ABORTED)
        for task in self._started:
            if _is_unwanted(task):
                self._abort_started(task, ABORTED)

    def _abort_all(self) -> None:
        for task in [task for task in self._waiting if not task.cdata.reset]:
            self._waiting.remove(task)
            self._finish(task, RESET)
        for task in self._started:
            self._abort_started(task, RESET)

    def _abort_started(self, task: _Task, answer: Answer) -> None:
        """Unless it is past aborting: then its own answer comes."""
        if task.answer or task.asked_to_abort:
            return
        task.asked_to_abort = True
        self._tell()
        if ask(self.unit, lambda: self.unit.abort(task.command), False):
            task.answer = answer

    # ---- commands in turn ------------------------------------------------------------------

    def _start_next(self) -> bool:
        """False: there is none, or it has to wait for those that are started, or until no direct
        command is under way."""
        task = self._waiting[0] if self._waiting else None
        if self._started and (task is None or not self._may_join(task)):
            return False
        if task is None or not task.is_exclusive:
            if self._direct.is_excluded:  # for one that was aborted
                self._direct.end_exclusion()
        elif not self._direct.exclude():
            return False
        if task is None:
            return False
        self._waiting.popleft()
        if task.cdata.reset:
            self._reset(task)
            return True
        self._started.append(task)
        if not task.is_query:  # no answer waits for what may wait itself
            self._tell()
        try:
            self.unit.start(task.command, lambda answer: self._done(task, answer))
        except Exception:
            log.exception("%r: command %s", self.unit, task.command.cdb.hex(" "))
            task.answer = DEFECT
        # From here on `_done` wakes this thread; what it did before is seen by who looks next.
        task.is_started = True
        return True

    def _may_join(self, task: _Task) -> bool:
        """Whether it may begin beside those that are started."""
        if task.cdata.reset or self._direct.is_excluded or task.is_exclusive:
            return False
        return len(self._started) < self.unit.depth

    def _done(self, task: _Task, answer: Answer) -> None:
        if task.answer is None:  # else it was aborted
            task.answer = answer
        if task.is_started:
            lib.pv_scsi_unit_wake(self.pointer)

    def _reset(self, task: _Task) -> None:
        def reset() -> int:
            self.unit.reset(task.command.nexus)
            return TASK_MANAGEMENT_SUCCESS

        self._tell()
        word = ask(self.unit, reset, TASK_MANAGEMENT_FAILURE)
        self._direct.end_exclusion()
        self._answer(task, word, Answer())

    def _finish_answered(self) -> bool:
        """False: there is none."""
        answered = [task for task in self._started if task.answer]
        if answered:
            self._started = [task for task in self._started if not task.answer]
            if any(map(_may_have_changed, answered)):
                # Before initiators are told: what they may do then follows from these commands.
                self._direct.end_exclusion()
        for task in answered:
            assert task.answer
            self._finish(task, task.answer)
        return bool(answered)

    def _finish(self, task: _Task, answer: Answer) -> None:
        self._answer(task, Result(answer.status, answer.host).word, answer)

    def _answer(self, task: _Task, word: int, answer: Answer) -> None:
        data, sense = answer.data, answer.sense
        task.command.data_out = b""  # the queue uses that memory again
        lib.pv_scsi_command_answer(
            task.cdata,
            word,
            ffi.from_buffer(data) if data else ffi.NULL,
            len(data),
            ffi.from_buffer(sense) if sense else ffi.NULL,
            len(sense),
            answer.unused,
        )
        self._answered.append(task.cdata)

    def _tell(self) -> None:
        """Gives answers to their queues: together, since waking one may cost the processor."""
        answered, self._answered = self._answered, []
        if answered:
            lib.pv_scsi_commands_complete(answered, len(answered))

    def _is_exclusive(self, task: _Task) -> bool:
        if not self.unit.store or task.is_query:
            return False
        cdb = task.command.cdb
        return bool(task.cdata.reset) or ask(
            self.unit, lambda: self.unit.excludes_direct_access(cdb), True
        )


def _is_unwanted(task: _Task) -> bool:
    leaving = task.attached.is_leaving and not task.cdata.reset
    return leaving or bool(lib.pv_scsi_command_is_aborted(task.cdata))


def _may_have_changed(task: _Task) -> bool:
    """What the unit permits now."""
    return not (task.is_query and task.answer and task.answer.status == Status.GOOD)
