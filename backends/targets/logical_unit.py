"""What a guest reaches at a LUN: a disk, a tape, a changer, or a device behind a SAN.

A device of one's own is a subclass of `EmulatedUnit` with a method for each command, of
`SynchronousUnit` with `execute`, or of `LogicalUnit` with `start`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.journal import Journal

log = logging.getLogger("pvdrivers.backends.targets")

T = TypeVar("T")

Done = Callable[[Answer], None]


class UnitStatus(NamedTuple):
    """For whoever looks after a service. `kind`: disk, tape … `medium`: what is in it, in a few
    words; empty: its medium never changes. `counts`: of bytes and other things, by their names."""

    kind: str
    medium: str = ""
    counts: Mapping[str, int] = {}


class LogicalUnit(ABC):
    """All calls come from one thread at a time, on which an asyncio loop runs: one that serves this
    unit alone, so that calls may block, or the service's when `may_block` is false. After it has
    ended come only `detach` and `close`."""

    device_type: int  # peripheral device type: 0 disk, 1 tape, 8 media changer
    store: BlockStore | None = None  # what READ and WRITE may reach without `start`
    may_block: bool = True  # its calls need a thread of their own; false: they are the loop's
    depth: int = 1  # commands that it carries out at the same time
    files: Mapping[str, bool] = {}  # real paths of what it stands on, and whether it writes there
    journal_room: int = 0  # bytes of state that it keeps over a kill; 0: it needs no journal

    def take_up(self, journal: Journal) -> None:
        """Once, before all other calls, if `journal_room` is not 0: what an earlier process has
        committed to the journal counts. What it raises keeps the unit from being served."""

    @abstractmethod
    def start(self, command: Command, done: Done) -> None:
        """Begins it. `done` is called once, now or later, from any thread. What `start` raises is
        a defect, and the initiator's HARDWARE ERROR.

        A command that comes a second time with the same identity, since the process that had it
        was killed, is answered as the first time and not done twice.
        """

    def abort(self, command: Command) -> bool:
        """ABORT TASK for a command that was started, or its LUN leaves. True: `done` will not be
        called. False: it is being carried out, and its answer will come."""
        return False

    def reset(self, nexus: Nexus) -> None:
        """LOGICAL UNIT RESET, by this initiator."""

    def attach(self, nexus: Nexus) -> None:
        """An initiator is there; no command of its comes before. Also after a restart of the
        backend that the initiator does not notice: then nothing has changed for it."""

    def detach(self, nexus: Nexus) -> None:
        """It is gone for good, or its connection is (I_T nexus loss)."""

    def luns_changed(self, nexus: Nexus) -> None:
        """There are others at its target than before: `nexus.luns`."""

    def direct_access(self, nexus: Nexus) -> tuple[bool, bool]:
        """Whether READ, and WRITE, of this initiator may go to `store` without asking this unit
        now. Asked after each command of any initiator but queries that ended with GOOD."""
        return False, False

    def excludes_direct_access(self, cdb: bytes) -> bool:
        """Whether READ and WRITE of all initiators have to wait while this command is carried out,
        and those under way have to end before."""
        return False

    def is_query(self, cdb: bytes) -> bool:
        """Whether `start` answers this command at once, without waiting for anything, and with GOOD
        has changed nothing. The answers of other commands may then be told together with this
        one's."""
        return False

    def status(self) -> UnitStatus:
        """What it is and what is in it now; from any thread, until `close`."""
        return UnitStatus("other")

    def close(self) -> None:
        """A second call does nothing."""

    @abstractmethod
    def __repr__(self) -> str:
        """One line: what it is, and on what."""


class SynchronousUnit(LogicalUnit):
    """A unit that has carried out a command when `start` returns."""

    def start(self, command: Command, done: Done) -> None:
        done(self.execute(command))

    @abstractmethod
    def execute(self, command: Command) -> Answer:
        """Carries it out, as `start` says."""


def ask(unit: LogicalUnit, call: Callable[[], T], otherwise: T) -> T:
    """A method's result. A defect of the unit must not end who serves it."""
    try:
        return call()
    except Exception:
        log.exception("%r", unit)
        return otherwise
