"""A process that is killed before any commit, of the changer or of a drive, or behind it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from pvdrivers.backends.targets.changer.unit import Changer
from pvdrivers.backends.targets.command import Answer, Command
from pvdrivers.backends.targets.journal import Journal, journal_size
from pvdrivers.backends.targets.persistent import PersistentUnit
from pvdrivers.scsi.result import Status

from .conftest import DRIVE, INITIALIZE, PORT, SLOT, Robot, exchange, move

ROOM = PersistentUnit.journal_room
SCRIPT = [
    move(SLOT, DRIVE),
    move(SLOT + 1, DRIVE + 1),
    move(SLOT + 2, DRIVE),  # it is full
    move(DRIVE, SLOT + 3),
    move(DRIVE + 1, DRIVE),
    bytes.fromhex(INITIALIZE),
    move(DRIVE, PORT),
    move(SLOT + 3, DRIVE + 1),
    exchange(PORT, DRIVE + 1, DRIVE),
    exchange(DRIVE, DRIVE + 1, DRIVE),
]


class Killed(BaseException):
    """The process is no more."""


class Commits:
    def __init__(self) -> None:
        self.left: int | None = None

    def tick(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Killed


class DyingJournal(Journal):
    commits: Commits

    def commit(self, state: bytes, identity: bytes = b"", answer: Answer | None = None) -> None:
        self.commits.tick()
        super().commit(state, identity, answer)
        self.commits.tick()


class Process:
    def __init__(self, folder: Path, *, drives_first: bool = True) -> None:
        self.folder, self.commits, self.drives_first = folder, Commits(), drives_first
        self.memories = [bytearray(journal_size(ROOM)) for _ in range(3)]
        self.start()

    def start(self) -> None:
        self.robot = Robot(self.folder, attach=False)
        units = list(zip((*self.robot.drives, self.robot.changer), self.memories, strict=True))
        for unit, memory in units if self.drives_first else reversed(units):
            journal = DyingJournal(memory, ROOM)
            journal.commits = self.commits
            unit.take_up(journal)
        self.robot.attach()

    def run(self, number: int, cdb: bytes) -> Answer:
        nexus = self.robot.initiator.nexus
        return self.robot.changer.execute(
            Command(nexus, cdb, b"", 1 << 16, number.to_bytes(16, "big"))
        )

    def again(self) -> None:
        self.robot.close()
        self.start()


def drives_of(changer: Changer) -> list[str | None]:
    return [drive.cartridge.stem if drive.cartridge else None for drive in changer.drives]


@pytest.mark.parametrize("drives_first", [True, False])
def test_killed_at_every_commit(folder: Path, drives_first: bool) -> None:
    process = Process(folder)
    expected = [process.run(n, cdb) for n, cdb in enumerate(SCRIPT)]
    assert [answer.status == Status.GOOD for answer in expected].count(False) == 1
    full, drives = process.robot.full(), drives_of(process.robot.changer)
    assert drives == ["A00002", "A00001"]
    process.robot.close()
    for number in range(200):
        process, kills = Process(folder, drives_first=drives_first), 0
        process.commits.left = number
        answers = []
        for n, cdb in enumerate(SCRIPT):
            try:
                answers.append(process.run(n, cdb))
            except Killed:
                kills += 1
                process.again()
                answers.append(process.run(n, cdb))
        process.commits.left = None
        assert answers == expected
        assert process.robot.full() == full
        assert drives_of(process.robot.changer) == drives
        process.robot.close()
        if not kills:
            break
    assert number > 4 * 6


@pytest.mark.parametrize("drives_first", [True, False])
def test_the_attention_of_a_new_tape_is_told_once(folder: Path, drives_first: bool) -> None:
    """Its initiators have it from the process before, or from the one that finishes the move."""
    for number in range(8):
        process = Process(folder, drives_first=drives_first)
        process.commits.left = number
        with suppress(Killed):
            process.run(1, move(SLOT, DRIVE))
        process.commits.left = None
        process.again()
        process.run(1, move(SLOT, DRIVE))
        [tape, _] = process.robot.tapes
        assert tape.code("00 00 00 00 00 00") == "06/28/00"
        tape.good("00 00 00 00 00 00")
        process.robot.close()


def test_a_folder_that_has_become_too_full_is_no_reason_not_to_go_on(folder: Path) -> None:
    """A new changer would have no slots for all tapes."""
    process = Process(folder)
    process.run(1, move(SLOT, PORT))
    process.run(2, move(SLOT + 1, DRIVE))
    for name in ("N1", "N2", "N3", "käse"):
        (folder / f"{name}.tap").touch()
    full = process.robot.full()
    process.again()
    assert process.robot.full() == full
    assert process.robot.initiator.code(INITIALIZE) == "02/04/03"
    (folder / "käse.tap").unlink()
    process.robot.initiator.good(INITIALIZE)
    assert process.robot.initiator.code(bytes(6)) == "06/28/01"
    assert len(process.robot.full()) == 6
    process.robot.close()


@pytest.mark.parametrize("drives_first", [True, False])
def test_a_tape_stays_where_it_is_in_a_drive(folder: Path, drives_first: bool) -> None:
    process = Process(folder, drives_first=drives_first)
    process.run(1, move(SLOT, DRIVE))
    [tape, _] = process.robot.tapes
    tape.run("00 00 00 00 00 00")
    tape.good("0a 00 00 00 03 00", b"one")
    process.again()
    [tape, _] = process.robot.tapes
    tape.good("0a 00 00 00 03 00", b"two")
    tape.good("01 00 00 00 00 00")
    assert [tape.good("08 00 00 00 03 00") for _ in range(2)] == [b"one", b"two"]
    process.robot.close()


def test_a_drive_whose_journal_is_lost_gets_its_tape_again(folder: Path) -> None:
    process = Process(folder)
    process.run(1, move(SLOT, DRIVE))
    process.run(2, move(SLOT + 1, DRIVE + 1))
    process.memories[0] = bytearray(journal_size(ROOM))
    process.again()
    assert drives_of(process.robot.changer) == ["A00001", "A00002"]
    process.robot.close()


def test_a_drive_that_was_closed_gets_its_tape_again(folder: Path) -> None:
    """Its last user is gone, and another comes."""
    process = Process(folder)
    process.run(1, move(SLOT, DRIVE))
    process.robot.drives[0].close()
    assert drives_of(process.robot.changer) == [None, None]
    process.run(2, bytes(6))
    assert drives_of(process.robot.changer) == ["A00001", None]
    process.robot.close()
