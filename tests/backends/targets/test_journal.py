"""What a logical unit remembers when its process is killed, wherever that happens."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.inflight import InflightFile
from pvdrivers.backends.state_directory import StateDirectory
from pvdrivers.backends.targets.command import Answer
from pvdrivers.backends.targets.journal import ANSWERS, Journal, journal_size

ROOM = 40


def identity(number: int) -> bytes:
    return number.to_bytes(16, "big")


def answer(number: int) -> Answer:
    return Answer(
        2, b"d" * (number % 65), bytes([number % 251]) * (number % 97), number, number % 9
    )


def commit(journal: Journal, number: int) -> None:
    journal.commit(b"state %d" % number, identity(number), answer(number))


def test_a_new_journal_knows_nothing() -> None:
    journal = Journal(bytearray(journal_size(ROOM)), ROOM)
    assert journal.state is None
    assert journal.answer_of(identity(1)) is None


def test_a_successor_knows_the_state_and_the_answers() -> None:
    memory = bytearray(journal_size(ROOM))
    journal = Journal(memory, ROOM)
    for number in range(1, 100):
        commit(journal, number)
    for known in (journal, Journal(memory, ROOM)):
        assert known.state == b"state 99"
        assert [known.answer_of(identity(n)) for n in range(1, 100)] == [
            *map(answer, range(1, 100))
        ]
        assert known.answer_of(identity(100)) is None


def test_the_oldest_answers_go() -> None:
    memory = bytearray(journal_size(ROOM))
    journal = Journal(memory, ROOM)
    last = 2 * ANSWERS + 5
    for number in range(1, last + 1):
        commit(journal, number)
    for known in (journal, Journal(memory, ROOM)):
        assert known.answer_of(identity(last - ANSWERS)) is None
        kept = range(last - ANSWERS + 1, last + 1)
        assert all(known.answer_of(identity(n)) == answer(n) for n in kept)


def test_a_state_without_an_answer_keeps_the_last_answer() -> None:
    memory = bytearray(journal_size(ROOM))
    journal = Journal(memory, ROOM)
    commit(journal, 1)
    for state in (b"", b"x" * ROOM, b"y"):
        journal.commit(state)
        again = Journal(memory, ROOM)
        assert (again.state, again.answer_of(identity(1))) == (state, answer(1))
    assert again.answer_of(b"") is None


def test_what_has_no_room_changes_nothing() -> None:
    memory = bytearray(journal_size(ROOM))
    journal = Journal(memory, ROOM)
    commit(journal, 1)
    before = bytes(memory)
    with pytest.raises(ValueError, match="a state of 41 bytes, 40 at most fit"):
        journal.commit(bytes(ROOM + 1))
    for large in (Answer(data=bytes(65)), Answer(sense=bytes(97))):
        with pytest.raises(ValueError, match="there is room for 96, 64 and 16"):
            journal.commit(b"", identity(2), large)
    assert bytes(memory) == before
    commit(journal, 2)
    assert Journal(memory, ROOM).answer_of(identity(2)) == answer(2)


class Dying:
    """Memory that is looked at in the middle of each store: with its first bytes alone, and with
    its last, since one store may be several, in any order."""

    def __init__(self, memory: bytearray, look: Any) -> None:
        self.memory = memory
        self._look = look

    def __getitem__(self, place: slice) -> bytes:
        return bytes(self.memory[place])

    def __setitem__(self, place: slice, data: bytes) -> None:
        before, size = self[place], len(data)
        cuts = range(size + 1) if size < 32 else (0, 1, size // 2, size - 1, size)
        for cut in cuts:
            for torn in (data[:cut] + before[cut:], before[:cut] + data[cut:]):
                self.memory[place] = torn
                self._look(bytearray(self.memory))
        self.memory[place] = data


@pytest.mark.parametrize("before", [0, 1, 2, 3, ANSWERS, ANSWERS + 1])
def test_killed_at_every_store(before: int) -> None:
    """Either the commit has happened, with its answer, or it has not. And who finds it so can go
    on."""
    memory = bytearray(journal_size(ROOM))
    first = Journal(memory, ROOM)
    for number in range(1, before + 1):
        commit(first, number)
    seen: set[bytes | None] = set()
    old = b"state %d" % before if before else None
    new = b"state %d" % (before + 1)
    oldest = max(1, before + 2 - ANSWERS)  # kept in either case

    def look(left: bytearray) -> None:
        found = Journal(left, ROOM)
        seen.add(found.state)
        assert found.state in (old, new)
        expected = answer(before + 1) if found.state == new else None
        assert found.answer_of(identity(before + 1)) == expected
        for number in (oldest, before - 1, before):
            if oldest <= number <= before:
                assert found.answer_of(identity(number)) == answer(number)

    commit(Journal(Dying(memory, look), ROOM), before + 1)
    assert seen == {old, new}


def test_killed_while_the_journal_is_taken_up() -> None:
    """The predecessor was killed before its last answer was in the table."""
    memory = bytearray(journal_size(ROOM))
    journal = Journal(memory, ROOM)
    for number in (1, 2, 3):
        commit(journal, number)
    table = journal._answer_place(3)
    memory[table] = bytes(table.stop - table.start)

    def look(left: bytearray) -> None:
        found = Journal(left, ROOM)
        assert [found.answer_of(identity(n)) for n in (1, 2, 3)] == [answer(n) for n in (1, 2, 3)]

    Journal(Dying(memory, look), ROOM)


# ---- In a file ---------------------------------------------------------------------------------


def open_journal(state: StateDirectory) -> Journal:
    return Journal.open(InflightFile(state, "unit-disk"), ROOM)


def test_a_file_is_there_for_the_next_process(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    commit(open_journal(state), 7)
    assert open_journal(state).answer_of(identity(7)) == answer(7)
    assert state.names() == ["unit-disk"]


def test_without_a_file_it_ends_with_the_process() -> None:
    journal = Journal.open(None, ROOM)
    commit(journal, 1)
    assert journal.answer_of(identity(1)) == answer(1)
    assert Journal.open(None, ROOM).state is None


COUNTER = """
import struct, sys
from pathlib import Path
from pvdrivers.backends.inflight import InflightFile
from pvdrivers.backends.state_directory import StateDirectory
from pvdrivers.backends.targets.command import Answer
from pvdrivers.backends.targets.journal import Journal
journal = Journal.open(InflightFile(StateDirectory(Path(sys.argv[1])), "unit-disk"), 40)
number = struct.unpack("<Q", journal.state)[0] if journal.state else 0
print("ready", flush=True)
while True:
    number += 1
    state = struct.pack("<Q", number)
    journal.commit(state, number.to_bytes(16, "big"), Answer(data=state))
"""


def test_a_process_that_is_killed_again_and_again(tmp_path: Path) -> None:
    before = 0
    for _ in range(10):
        counting = subprocess.Popen(
            [sys.executable, "-c", COUNTER, str(tmp_path / "state")], stdout=subprocess.PIPE
        )
        assert counting.stdout
        assert counting.stdout.readline() == b"ready\n"
        os.kill(counting.pid, signal.SIGKILL)
        counting.wait()
        counting.stdout.close()
        journal = open_journal(StateDirectory(tmp_path / "state"))
        number = struct.unpack("<Q", journal.state)[0] if journal.state else 0
        assert number >= before
        for known in range(max(1, number - ANSWERS + 1), number + 1):
            found = journal.answer_of(identity(known))
            assert found
            assert found.data == struct.pack("<Q", known)
        assert journal.answer_of(identity(number + 1)) is None
        before = number
