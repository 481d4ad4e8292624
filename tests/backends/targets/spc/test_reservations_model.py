"""Reservations of three initiators in any order, against the tables of SPC-4 5.13 written down
once more: who may do what, and who is told of what."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.targets.command import Answer
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense, SenseKey
from pvdrivers.testing.scsi.persistent_reserve import (
    Out,
    read_full_status,
    read_keys,
    read_reservation,
    reserve_move,
    reserve_out,
)
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

NAMES = ("iqn.2026-01.example:a", "iqn.2026-01.example:b", "iqn.2026-01.example:c")
ABSENT = "iqn.2026-01.example:absent"  # registered by others at most
TYPES = (1, 3, 5, 6, 7, 8)
GOOD, CONFLICT = "good", "conflict"
PREEMPTED, RELEASED, UNREGISTERED = "06/2a/03", "06/2a/04", "06/2a/05"
BAD_LIST, BAD_CDB, BAD_RELEASE = "05/26/00", "05/24/00", "05/26/04"

# What an initiator may do that does not hold the reservation.
#   type: (registered: reads, writes), (not registered: reads, writes)
OTHERS = {
    1: ((True, False), (True, False)),
    3: ((False, False), (False, False)),
    5: ((True, True), (True, False)),
    6: ((True, True), (False, False)),
    7: ((True, True), (True, False)),
    8: ((True, True), (False, False)),
}

# Commands by what the tables of SPC-4 and SBC-3 take them for.
ALWAYS = {
    "TEST UNIT READY": "00" * 6,
    "REQUEST SENSE": "03 00 00 00 12 00",
    "INQUIRY": "12 00 00 00 24 00",
    "LOG SENSE": "4d 00 40 00 00 00 00 00 ff 00",
    "REPORT LUNS": "a0" + "00" * 8 + "40 00 00",
    "READ CAPACITY(10)": "25" + "00" * 9,
    "READ CAPACITY(16)": "9e 10" + "00" * 11 + "20 00 00",
    "REPORT TARGET PORT GROUPS": "a3 0a 00 00 00 00 00 00 00 40 00 00",
    "START STOP UNIT (start)": "1b 00 00 00 01 00",
    "PREVENT ALLOW MEDIUM REMOVAL (allow)": "1e 00 00 00 00 00",
}
READS = {
    "READ(6)": "08 00 00 00 01 00",
    "READ(10)": "28" + "00" * 7 + "01 00",
    "READ(16)": "88" + "00" * 12 + "01 00 00",
    "VERIFY(10)": "2f" + "00" * 7 + "01 00",
    "PRE-FETCH(10)": "34" + "00" * 7 + "01 00",
    "MODE SENSE(6)": "1a 00 3f 00 ff 00",
    "GET LBA STATUS": "9e 12" + "00" * 11 + "20 00 00",
    "REPORT SUPPORTED OPERATION CODES": "a3 0c 00 00 00 00 00 00 10 00 00 00",
}
WRITES = {
    "WRITE(10)": "2a" + "00" * 7 + "01 00",
    "WRITE(16)": "8a" + "00" * 12 + "01 00 00",
    "SYNCHRONIZE CACHE(10)": "35" + "00" * 9,
    "ORWRITE(16)": "8b" + "00" * 12 + "01 00 00",
    "WRITE SAME(10)": "41" + "00" * 7 + "01 00",
    "MODE SELECT(6)": "15 10 00 00 00 00",
    "PREVENT ALLOW MEDIUM REMOVAL (prevent)": "1e 00 00 00 01 00",
}
DATA = bytes(512)


@dataclass
class Model:
    keys: dict[str, int] = field(default_factory=dict)
    kind: int = 0
    holder: str = ""
    generation: int = 0
    attentions: dict[str, list[str]] = field(default_factory=dict)

    def holders(self) -> set[str]:
        return set(self.keys) if self.kind in (7, 8) else {self.holder} if self.kind else set()

    def may(self, who: str) -> tuple[bool, bool]:
        if not self.kind or who in self.holders():
            return True, True
        return OTHERS[self.kind][0 if who in self.keys else 1]

    def tell(self, whom: Iterable[str], code: str) -> None:
        for name in whom:
            if name in NAMES:
                self.attentions.setdefault(name, []).append(code)

    def end(self) -> None:
        self.kind, self.holder = 0, ""

    def unregister(self, who: str) -> None:
        was_only_holder = self.holders() == {who}
        del self.keys[who]
        if was_only_holder:
            kind = self.kind
            self.end()
            if kind in (5, 6):
                self.tell(self.keys, RELEASED)

    def register(self, who: str, key: int, new: int, others: list[str] | None, check: bool) -> str:
        if check and self.keys.get(who, 0) != key:
            return CONFLICT
        if others is not None and (not check or who in self.keys):
            return BAD_LIST
        if new == 0:
            if who in self.keys:
                self.unregister(who)
                self.generation += 1
            return GOOD
        if others and any(name in self.keys or name == who for name in others):
            return BAD_LIST
        for name in [who, *(others or [])]:
            self.keys[name] = new
        self.generation += 1
        return GOOD

    def reserve(self, who: str, key: int, kind: int) -> str:
        if kind not in TYPES and self.keys.get(who) == key:
            return BAD_CDB
        if self.keys.get(who) != key:
            return CONFLICT
        if self.kind:
            return GOOD if who in self.holders() and kind == self.kind else CONFLICT
        self.kind, self.holder = kind, who
        return GOOD

    def release(self, who: str, key: int, kind: int) -> str:
        if self.keys.get(who) != key:
            return CONFLICT
        if who in self.holders():
            if kind != self.kind:
                return BAD_RELEASE
            self.end()
            if kind >= 5:
                self.tell([name for name in self.keys if name != who], RELEASED)
        return GOOD

    def clear(self, who: str, key: int) -> str:
        if self.keys.get(who) != key:
            return CONFLICT
        self.tell([name for name in self.keys if name != who], PREEMPTED)
        self.keys = {}
        self.end()
        self.generation += 1
        return GOOD

    def preempt(self, who: str, key: int, victim: int, kind: int) -> str:
        if self.keys.get(who) != key:
            return CONFLICT
        of_all = self.kind in (7, 8)
        if self.kind and (victim == 0 if of_all else victim == self.keys[self.holder]):
            if kind not in TYPES:
                return BAD_CDB
            lost = {n for n, k in self.keys.items() if n != who and (of_all or k == victim)}
            changed = kind != self.kind
            self.kind, self.holder = kind, who
        else:
            if victim == 0:
                return BAD_LIST
            lost = {n for n, k in self.keys.items() if k == victim}
            if not lost:
                return CONFLICT
            changed = False
        self.tell(lost - {who}, UNREGISTERED)
        self.keys = {n: k for n, k in self.keys.items() if n not in lost}
        if not self.keys:
            self.end()
        if changed:
            self.tell(set(self.keys) - {who}, RELEASED)
        self.generation += 1
        return GOOD

    def move(self, who: str, key: int, new: int, to: str, unregister: bool) -> str:
        if self.keys.get(who) != key:
            return CONFLICT
        if self.kind in (0, 7, 8) or self.holder != who:
            return CONFLICT
        if new == 0 or to == who:
            return BAD_LIST
        self.keys[to] = new
        self.holder = to
        if unregister:
            del self.keys[who]
        self.generation += 1
        return GOOD


def outcome(answer: Answer) -> str:
    if answer.status == Status.RESERVATION_CONFLICT:
        return CONFLICT
    if answer.status in (Status.GOOD, Status.CONDITION_MET):
        return GOOD
    sense = Sense.parse(answer.sense)
    assert sense
    return sense.code


WHO = st.sampled_from(NAMES)
KEY = st.integers(0, 3)
KIND = st.sampled_from((*TYPES, *TYPES, 0, 2, 0x11))  # and some that there are not
RIGHT = st.sampled_from((True, True, True, False))  # whether the key that is told is one's own
COMMANDS: Callable[[dict[str, str]], Any] = lambda table: st.sampled_from(sorted(table.items()))  # noqa: E731


class Comparison(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.disk = Disk(RamStore(64 * 512), Identity.of("disk"))
        self.initiators = {name: UnitInitiator(self.disk, name) for name in NAMES}
        self.reserved_by = ""  # by RESERVE

    def teardown(self) -> None:
        self.disk.close()

    def key_of(self, who: str, right: bool, key: int) -> int:
        return self.model.keys.get(who, 0) if right else key

    def expect(self, who: str, answer: Answer, expected: Callable[[], str]) -> None:
        """While there is a reservation by RESERVE, all of this is refused."""
        assert outcome(answer) == (CONFLICT if self.reserved_by else expected())

    # ---- PERSISTENT RESERVE OUT --------------------------------------------------------------

    @rule(
        who=WHO,
        right=RIGHT,
        key=KEY,
        new=KEY,
        others=st.none() | st.none() | st.lists(st.sampled_from((*NAMES, ABSENT)), max_size=2),
        check=st.booleans(),
    )
    def register(
        self, who: str, right: bool, key: int, new: int, others: list[str] | None, check: bool
    ) -> None:
        key = self.key_of(who, right, key)
        action = Out.REGISTER if check else Out.REGISTER_AND_IGNORE
        answer = reserve_out(self.initiators[who], action, key, new, others=others)
        self.expect(who, answer, lambda: self.model.register(who, key, new, others, check))

    @rule(who=WHO, right=RIGHT, key=KEY, kind=KIND)
    def reserve(self, who: str, right: bool, key: int, kind: int) -> None:
        key = self.key_of(who, right, key)
        answer = reserve_out(self.initiators[who], Out.RESERVE, key, 0, kind)
        self.expect(who, answer, lambda: self.model.reserve(who, key, kind))

    @rule(who=WHO, right=RIGHT, key=KEY, same=RIGHT, kind=KIND)
    def release(self, who: str, right: bool, key: int, same: bool, kind: int) -> None:
        key = self.key_of(who, right, key)
        kind = self.model.kind if same else kind
        answer = reserve_out(self.initiators[who], Out.RELEASE, key, 0, kind)
        self.expect(who, answer, lambda: self.model.release(who, key, kind))

    @rule(who=WHO, right=RIGHT, key=KEY)
    def clear(self, who: str, right: bool, key: int) -> None:
        key = self.key_of(who, right, key)
        answer = reserve_out(self.initiators[who], Out.CLEAR, key)
        self.expect(who, answer, lambda: self.model.clear(who, key))

    @rule(who=WHO, right=RIGHT, key=KEY, victim=KEY, kind=KIND, abort=st.booleans())
    def preempt(self, who: str, right: bool, key: int, victim: int, kind: int, abort: bool) -> None:
        key = self.key_of(who, right, key)
        action = Out.PREEMPT_AND_ABORT if abort else Out.PREEMPT
        answer = reserve_out(self.initiators[who], action, key, victim, kind)
        self.expect(who, answer, lambda: self.model.preempt(who, key, victim, kind))

    @rule(
        who=WHO,
        right=RIGHT,
        key=KEY,
        new=KEY,
        to=st.sampled_from((*NAMES, ABSENT)),
        unregister=st.booleans(),
    )
    def move(self, who: str, right: bool, key: int, new: int, to: str, unregister: bool) -> None:
        key = self.key_of(who, right, key)
        answer = reserve_move(self.initiators[who], key, new, to, unregister=unregister)
        self.expect(who, answer, lambda: self.model.move(who, key, new, to, unregister))

    # ---- RESERVE and RELEASE of SPC-2 ----------------------------------------------------------

    @rule(who=WHO, cdb=st.sampled_from(("16" + "00" * 5, "56" + "00" * 9)))
    def reserve_unit(self, who: str, cdb: str) -> None:
        if self.reserved_by:
            expected = GOOD if who == self.reserved_by else CONFLICT
        elif self.model.keys:
            expected = GOOD if self.model.kind and self.model.may(who)[1] else CONFLICT
        else:
            self.reserved_by, expected = who, GOOD
        assert outcome(self.initiators[who].run(cdb)) == expected

    @rule(who=WHO, cdb=st.sampled_from(("17" + "00" * 5, "57" + "00" * 9)))
    def release_unit(self, who: str, cdb: str) -> None:
        expected = GOOD
        if self.model.keys and not (self.model.kind and self.model.may(who)[1]):
            expected = CONFLICT
        if who == self.reserved_by:
            self.reserved_by = ""
        assert outcome(self.initiators[who].run(cdb)) == expected

    # ---- other commands ------------------------------------------------------------------------

    def may(self, who: str) -> tuple[bool, bool]:
        if self.reserved_by:
            return (True, True) if who == self.reserved_by else (False, False)
        return self.model.may(who)

    @rule(who=WHO, command=COMMANDS(ALWAYS))
    def harmless(self, who: str, command: tuple[str, str]) -> None:
        name, cdb = command
        expected = GOOD
        if name == "TEST UNIT READY" and self.reserved_by not in ("", who):
            expected = CONFLICT
        assert outcome(self.initiators[who].run(cdb)) == expected, name

    @rule(who=WHO, command=COMMANDS(READS))
    def read(self, who: str, command: tuple[str, str]) -> None:
        expected = GOOD if self.may(who)[0] else CONFLICT
        assert outcome(self.initiators[who].run(command[1])) == expected, command[0]

    @rule(who=WHO, command=COMMANDS(WRITES))
    def write(self, who: str, command: tuple[str, str]) -> None:
        expected = GOOD if self.may(who)[1] else CONFLICT
        data = DATA if command[0].startswith(("WRITE", "ORWRITE")) else b""
        assert outcome(self.initiators[who].run(command[1], data)) == expected, command[0]

    # ---- after each ----------------------------------------------------------------------------

    @invariant()
    def all_is_as_expected(self) -> None:
        self.check_attentions()
        self.check_what_it_tells()
        self.check_direct_access()

    def check_attentions(self) -> None:
        for name, initiator in self.initiators.items():
            expected = self.model.attentions.pop(name, [])
            if expected:
                assert self.disk.direct_access(initiator.nexus) == (False, False)
            told = []
            while (code := sense_of(initiator)) is not None:
                told.append(code)
            assert told == list(dict.fromkeys(expected)), name

    def check_what_it_tells(self) -> None:
        if self.reserved_by:
            return
        one, model = self.initiators[NAMES[0]], self.model
        generation, keys = read_keys(one)
        assert generation == model.generation
        assert sorted(keys) == sorted(model.keys.values())
        expected = None
        if model.kind:
            expected = (0 if model.kind in (7, 8) else model.keys[model.holder], model.kind)
        assert read_reservation(one) == expected
        assert sorted(read_full_status(one)) == sorted(
            (name, 1, key, model.kind if name in model.holders() else 0)
            for name, key in model.keys.items()
        )

    def check_direct_access(self) -> None:
        for name, initiator in self.initiators.items():
            assert self.disk.direct_access(initiator.nexus) == self.may(name), name


def sense_of(initiator: UnitInitiator) -> str | None:
    sense = Sense.parse(initiator.good("03 00 00 00 12 00"))
    assert sense
    if sense.key == SenseKey.NO_SENSE:
        return None
    return sense.code


Comparison.TestCase.settings = settings(deadline=None, stateful_step_count=40, max_examples=60)
test_reservations = Comparison.TestCase
