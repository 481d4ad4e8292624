"""An initiator that gives its commands to a logical unit without a ring between."""

from __future__ import annotations

from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.scsi.result import HostByte, Status
from pvdrivers.scsi.sense import Sense

LARGEST_ROOM = 1 << 24


class UnitInitiator:
    """CDBs and data are bytes, or their hexadecimal digits. It is attached for as long as the unit
    is there; two of them at one unit are two initiators."""

    def __init__(
        self, unit: LogicalUnit, name: str = "initiator 1", luns: tuple[int, ...] = (0,)
    ) -> None:
        self.unit = unit
        self.nexus = Nexus(name, luns=luns)
        unit.attach(self.nexus)

    def run(self, cdb: str | bytes, data: str | bytes = b"", *, room: int = LARGEST_ROOM) -> Answer:
        """As the unit answers it."""
        return answer_of(self.unit, Command(self.nexus, _bytes(cdb), _bytes(data), room))

    def good(self, cdb: str | bytes, data: str | bytes = b"") -> bytes:
        """What comes back. AssertionError: it has not ended with GOOD."""
        answer = self.run(cdb, data)
        assert answer.host == HostByte.OK
        assert answer.status == Status.GOOD, f"{Status(answer.status).name}: {_told(answer)}"
        return bytes(answer.data)

    def sense(self, cdb: str | bytes, data: str | bytes = b"") -> Sense:
        """AssertionError: it has not ended with CHECK CONDITION, or with sense data that are
        none."""
        answer = self.run(cdb, data)
        assert answer.status == Status.CHECK_CONDITION, Status(answer.status).name
        sense = Sense.parse(answer.sense)
        assert sense is not None, answer.sense.hex(" ")
        return sense

    def code(self, cdb: str | bytes, data: str | bytes = b"") -> str:
        """How it has failed: key, ASC and ASCQ, such as "05/24/00"."""
        sense = self.sense(cdb, data)
        return sense.code


def answer_of(unit: LogicalUnit, command: Command) -> Answer:
    """AssertionError: there is not one answer when `start` returns."""
    answers: list[Answer] = []
    unit.start(command, answers.append)
    assert len(answers) == 1, f"{len(answers)} answers to one command"
    return answers[0]


def _bytes(value: str | bytes) -> bytes:
    return bytes.fromhex(value) if isinstance(value, str) else value


def _told(answer: Answer) -> Sense | None:
    return Sense.parse(answer.sense)
