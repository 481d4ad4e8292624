"""A unit that goes on where its killed process was: a journal keeps what its initiators have made
of it, and what was answered meanwhile."""

from __future__ import annotations

from typing import Any

import msgspec

from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.emulated_unit import MAX_ATTENTIONS, EmulatedUnit
from pvdrivers.backends.targets.journal import MAX_DATA, Journal
from pvdrivers.scsi.result import Status

UnitState = dict[str, Any]  # of what msgpack can encode


class PersistentUnit(EmulatedUnit):
    """Whatever changes the state that a subclass tells is committed before it is answered. Without
    a journal a unit begins anew with each process.

    A subclass that overrides `reset` or `detach` changes its own state first: what it calls then
    commits.
    """

    journal_room = 1 << 17  # bytes of state at most

    def __init__(self) -> None:
        super().__init__()
        self._journal: Journal | None = None
        # Of initiators that an earlier process knew and that are not back yet, by their names.
        self._attentions_before: dict[str, list[tuple[int, int]]] = {}

    def take_up(self, journal: Journal) -> None:
        """Once, before the first initiator: what an earlier process has committed counts."""
        if journal.state is not None:
            self.restore(msgspec.msgpack.decode(journal.state))
        self._journal = journal

    def state(self) -> UnitState:
        """A subclass adds what is its own, but nothing that is as in a new unit."""
        waiting = {nexus.name: [*codes] for nexus, codes in self._attentions.items()}
        attentions = self._attentions_before | waiting
        return {"attentions": attentions} if attentions else {}

    def restore(self, state: UnitState) -> None:
        """The reverse, in a new unit."""
        for name, codes in state.get("attentions", {}).items():
            self._attentions_before[name] = [(asc, ascq) for asc, ascq in codes]

    def commit(self, identity: bytes = b"", answer: Answer | None = None) -> None:
        """Keeps the state if it has changed, with what a command is answered that changed it. A
        long answer is not kept: it can be given again."""
        if self._journal is None:
            return
        state = msgspec.msgpack.encode(self.state())
        if state != self._journal.state:
            kept = answer if answer and len(answer.data) <= MAX_DATA else None
            self._journal.commit(state, identity, kept)

    def recorded(self, command: Command, answer: Answer) -> Answer:
        """What the journal keeps of it, if a command's data are found elsewhere."""
        return answer

    def answer_again(self, command: Command, recorded: Answer) -> Answer:
        """The answer of which that was kept."""
        return recorded

    def execute(self, command: Command) -> Answer:
        if self._journal and (known := self._journal.answer_of(command.identity)):
            return self.answer_again(command, known)
        answer = super().execute(command)
        # Looking for what has changed takes longer than a query does, which changes nothing.
        if answer.status != Status.GOOD or not self.is_query(command.cdb):
            self.commit(command.identity, self.recorded(command, answer))
        return answer

    def establish_attention(
        self, code: tuple[int, int], *, but: Nexus | None = None, only: Nexus | None = None
    ) -> None:
        super().establish_attention(code, but=but, only=only)
        if only is None:
            for waiting in self._attentions_before.values():
                waiting[:] = [*(one for one in waiting if one != code), code][-MAX_ATTENTIONS:]

    def attach(self, nexus: Nexus) -> None:
        super().attach(nexus)
        for code in self._attentions_before.pop(nexus.name, ()):
            self.establish_attention(code, only=nexus)
        self.commit()

    def reset(self, nexus: Nexus) -> None:
        super().reset(nexus)
        self.commit()

    def luns_changed(self, nexus: Nexus) -> None:
        super().luns_changed(nexus)
        self.commit()

    def detach(self, nexus: Nexus) -> None:
        super().detach(nexus)
        self.commit()
