"""What a unit remembers over a kill of commands that must not be carried out twice.

Before such a command is sent, the journal has it as begun; when it is answered, the answer. What is
asked again by a successor and was answered gets that answer. What was begun may or may not have
been carried out; of a tape it is known where it stood before, by which one can tell.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pvdrivers.backends.targets.command import Answer
from pvdrivers.backends.targets.journal import IDENTITY, MAX_DATA, Journal

MAX_BEGUN = 512
MAX_INITIATORS = 256
ROOM = 1 << 16  # bytes of state at most


class _State(msgspec.Struct):
    device_type: int | None = None
    initiators: list[str] = []  # that have a session
    begun: dict[bytes, int | None] = {}


class Records:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._state = msgspec.msgpack.decode(journal.state or b"\x80", type=_State)
        self.initiators_before = frozenset(self._state.initiators)

    # ---- the unit --------------------------------------------------------------------------

    @property
    def device_type(self) -> int | None:
        """None: nobody has told it yet."""
        return self._state.device_type

    def keep(self, device_type: int | None, initiators: Iterable[str]) -> None:
        self._state.device_type = device_type
        self._state.initiators = sorted(initiators)[:MAX_INITIATORS]
        self._commit()

    # ---- commands --------------------------------------------------------------------------

    def answer_of(self, identity: bytes) -> Answer | None:
        return self._journal.answer_of(identity)

    def is_begun(self, identity: bytes) -> bool:
        return identity in self._state.begun

    def place_before(self, identity: bytes) -> int | None:
        """Where the tape stood before one that is begun; None: that is not known."""
        return self._state.begun[identity]

    def begin(self, identity: bytes, place: int | None) -> None:
        if len(identity) != IDENTITY:
            return  # nobody asks again
        self._state.begun[identity] = place
        while len(self._state.begun) > MAX_BEGUN:
            del self._state.begun[next(iter(self._state.begun))]
        self._commit()

    def end(self, identity: bytes, answer: Answer) -> None:
        """An answer that is too long to be kept leaves it begun."""
        if len(identity) == IDENTITY and len(answer.data) <= MAX_DATA:
            self._state.begun.pop(identity, None)
            self._commit(identity, answer)

    def drop(self, identity: bytes) -> None:
        """It was not sent, and nobody asks again."""
        if self._state.begun.pop(identity, 0) != 0:
            self._commit()

    def _commit(self, identity: bytes = b"", answer: Answer | None = None) -> None:
        self._journal.commit(msgspec.msgpack.encode(self._state), identity, answer)
