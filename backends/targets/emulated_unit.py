"""A logical unit whose commands are methods: what all device types have of it (SPC-4)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from pvdrivers.backends.targets.command import (
    Answer,
    CheckCondition,
    Command,
    CommandError,
    Nexus,
)
from pvdrivers.backends.targets.logical_unit import SynchronousUnit
from pvdrivers.backends.targets.operations import Needs, Operation, OperationTable
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense, SenseKey

DEVICE_RESET = (0x29, 0x03)
REPORTED_LUNS_CHANGED = (0x3F, 0x0E)
MAX_ATTENTIONS = 16  # that wait for one initiator; when there are more, the oldest goes


class EmulatedUnit(SynchronousUnit):
    """Subclasses have a method for each command, marked with `operation`.

    `operations`: the class's, unless a unit is made without some of them.
    """

    operations: OperationTable

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.operations = OperationTable.of(cls)

    def __init__(self) -> None:
        self._attentions: dict[Nexus, deque[tuple[int, int]]] = {}

    # ---- initiators ------------------------------------------------------------------------

    @property
    def nexuses(self) -> list[Nexus]:
        return list(self._attentions)

    @property
    def target_ports(self) -> list[int]:
        """Those that initiators have come by."""
        return sorted({nexus.target_port for nexus in self._attentions})

    def attach(self, nexus: Nexus) -> None:
        self._attentions.setdefault(nexus, deque(maxlen=MAX_ATTENTIONS))

    def detach(self, nexus: Nexus) -> None:
        self._attentions.pop(nexus, None)

    def establish_attention(
        self, code: tuple[int, int], *, but: Nexus | None = None, only: Nexus | None = None
    ) -> None:
        """A unit attention for all initiators `but` one, or for one `only`."""
        for nexus, waiting in self._attentions.items():
            if nexus is not but and only in (None, nexus) and code not in waiting:
                waiting.append(code)

    def reset(self, nexus: Nexus) -> None:
        self.establish_attention(DEVICE_RESET)

    def luns_changed(self, nexus: Nexus) -> None:
        self.establish_attention(REPORTED_LUNS_CHANGED, only=nexus)

    # ---- commands --------------------------------------------------------------------------

    def execute(self, command: Command) -> Answer:
        return self.answered(lambda: self._carry_out(command))

    def _carry_out(self, command: Command) -> Any:
        found = self.operations.find(command.cdb)
        found.check(command.cdb)
        self._check_attention(found, command.nexus)
        self.check_access(found, command)
        return self.method_of(found)(command)

    def answered(self, call: Callable[[], Any]) -> Answer:
        """Everything that a command ends with is converted to an answer here."""
        try:
            return _answer(call())
        except CheckCondition as error:
            return Answer(error.status, error.data, self.encode_sense(error.sense))
        except CommandError as error:
            return Answer(error.status)

    def method_of(self, found: Operation) -> Callable[[Command], Any]:
        method: Callable[[Command], Any] = getattr(self, found.method)
        return method

    def _check_attention(self, found: Operation, nexus: Nexus) -> None:
        if not found.despite_attention and (code := self.take_attention(nexus)):
            raise CheckCondition(Sense(SenseKey.UNIT_ATTENTION, *code))

    def take_attention(self, nexus: Nexus) -> tuple[int, int] | None:
        """The oldest that is pending; it is pending no more."""
        waiting = self._attentions.get(nexus)
        return waiting.popleft() if waiting else None

    def has_attention(self, nexus: Nexus) -> bool:
        return bool(self._attentions.get(nexus))

    def clear_attention(self, nexus: Nexus, code: tuple[int, int]) -> None:
        """It is pending no more, since this command has told of it in another way."""
        waiting = self._attentions.get(nexus)
        if waiting and code in waiting:
            waiting.remove(code)

    def check_access(self, found: Operation, command: Command) -> None:
        """CommandError: the unit's state, or what a subclass adds, forbids it now."""
        if found.needs is not Needs.NOTHING and (condition := self.condition()):
            raise CheckCondition(condition)
        if found.needs is Needs.WRITABLE and (protection := self.write_protection()):
            raise CheckCondition(protection)

    def condition(self) -> Sense | None:
        """Why the unit is not ready now."""
        return None

    def write_protection(self) -> Sense | None:
        """Why nothing may be written now."""
        return None

    def encode_sense(self, sense: Sense) -> bytes:
        """In the format that the control mode page asks for."""
        return sense.fixed()

    def excludes_direct_access(self, cdb: bytes) -> bool:
        try:
            return self.operations.find(cdb).excludes_direct_access
        except CommandError:
            return False

    def is_query(self, cdb: bytes) -> bool:
        try:
            return self.operations.find(cdb).is_query
        except CommandError:
            return False


def _answer(result: Answer | bytes | memoryview | None) -> Answer:
    if isinstance(result, Answer):
        return result
    return Answer(Status.GOOD, result if result is not None else b"")
