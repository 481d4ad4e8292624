"""Media between slots, ports and drives, and operators at the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .conftest import DRIVE, INITIALIZE, PICKER, PORT, SLOT, MakeRobot, Robot, exchange, move

TEST_UNIT_READY, PREVENT, ALLOW = "00 00 00 00 00 00", "1e 00 00 00 01 00", "1e 00 00 00 00 00"
WRITE, READ, REWIND = "0a 00 00 00 03 00", "08 00 00 00 03 00", "01 00 00 00 00 00"


def test_a_tape_is_loaded_by_a_move(robot: Robot) -> None:
    first, second = robot.tapes
    assert first.code(TEST_UNIT_READY) == "02/3a/00"
    robot.initiator.good(move(SLOT, DRIVE))
    assert first.code(TEST_UNIT_READY) == "06/28/00"
    first.good(WRITE, b"one")
    assert second.code(TEST_UNIT_READY) == "02/3a/00"
    robot.initiator.good(move(DRIVE, DRIVE + 1, transport=PICKER))
    assert first.code(READ) == "02/3a/00"
    assert second.code(TEST_UNIT_READY) == "06/28/00"
    assert second.good(READ) == b"one"
    robot.initiator.good(move(DRIVE + 1, SLOT + 3))
    assert robot.full() == {SLOT + 1: "A00002", SLOT + 2: "B00003", SLOT + 3: "A00001"}


def test_between_elements_that_are_no_drives(robot: Robot) -> None:
    robot.initiator.good(move(SLOT, PORT + 1))
    robot.initiator.good(move(PORT + 1, PORT))
    robot.initiator.good(move(SLOT + 1, SLOT))
    robot.initiator.good(move(SLOT, SLOT))
    assert robot.full() == {SLOT: "A00002", SLOT + 2: "B00003", PORT: "A00001"}


@pytest.mark.parametrize(
    ("cdb", "code"),
    [
        (move(SLOT + 3, DRIVE), "05/3b/0e"),
        (move(SLOT + 3, SLOT + 3), "05/3b/0e"),
        (move(SLOT, SLOT + 1), "05/3b/0d"),
        (move(SLOT + 4, DRIVE), "05/21/01"),
        (move(SLOT, DRIVE + 2), "05/21/01"),
        (move(SLOT, PICKER), "05/21/01"),
        (move(PICKER, SLOT + 3), "05/21/01"),
        (move(SLOT, DRIVE, transport=2), "05/21/01"),
        ("a5 00 00 00 04 00 01 00 00 00 01 00", "05/24/00"),  # turned around
        ("a6 00 00 00 04 00 04 01 04 00 02 00", "05/24/00"),
        (exchange(SLOT + 3, SLOT, SLOT + 1), "05/3b/0e"),
        (exchange(SLOT, SLOT + 3, SLOT), "05/3b/0e"),
        (exchange(SLOT, SLOT + 1, SLOT + 2), "05/3b/0d"),
        (exchange(SLOT, SLOT + 1, SLOT + 1), "05/3b/0d"),
        (exchange(SLOT, SLOT, SLOT + 3), "05/3b/0d"),
        (exchange(SLOT, SLOT + 1, PICKER), "05/21/01"),
        (exchange(SLOT, SLOT + 1, SLOT + 4), "05/21/01"),
        (exchange(SLOT, SLOT + 1, SLOT, transport=2), "05/21/01"),
        ("2b 00 00 01 09 00 00 00 00 00", "05/21/01"),
        ("2b 00 00 02 04 00 00 00 00 00", "05/21/01"),
        ("37 01 05 00 00 00 00 01 00 00", "05/21/01"),
    ],
)
def test_moves_that_cannot_be(robot: Robot, cdb: bytes | str, code: str) -> None:
    before = robot.full()
    assert robot.initiator.code(cdb) == code
    assert robot.full() == before


def test_exchanges(robot: Robot) -> None:
    first, second = robot.tapes
    robot.initiator.good(move(SLOT, DRIVE))
    first.run(TEST_UNIT_READY)
    first.good(WRITE, b"one")
    robot.initiator.good(exchange(SLOT + 1, DRIVE, SLOT + 1, transport=PICKER))  # swapped
    assert robot.full() == {DRIVE: "A00002", SLOT + 1: "A00001", SLOT + 2: "B00003"}
    assert first.code(TEST_UNIT_READY) == "06/28/00"
    assert first.code(READ) == "08/00/05"
    robot.initiator.good(exchange(SLOT + 1, DRIVE, DRIVE + 1))
    assert robot.full() == {DRIVE: "A00001", DRIVE + 1: "A00002", SLOT + 2: "B00003"}
    robot.initiator.good(exchange(DRIVE, DRIVE + 1, DRIVE))
    assert second.code(TEST_UNIT_READY) == "06/28/00"
    assert second.good(READ) == b"one"
    status = robot.status()
    assert [status[DRIVE + n].source for n in range(2)] == [SLOT + 1, SLOT + 1]


def test_an_exchange_is_carried_out_as_a_whole_or_not_at_all(robot: Robot, folder: Path) -> None:
    robot.initiator.good(move(SLOT, DRIVE))
    [tape, _] = robot.tapes
    tape.run(TEST_UNIT_READY)
    before = robot.full()
    tape.good(PREVENT)
    assert robot.initiator.code(exchange(SLOT + 1, DRIVE, SLOT)) == "05/53/03"
    tape.good(ALLOW)
    (folder / "A00002.tap").write_text("no tape at all")
    assert robot.initiator.code(exchange(SLOT + 1, DRIVE, SLOT)) == "03/53/00"
    robot.initiator.good(PREVENT)
    assert robot.initiator.code(exchange(SLOT + 2, DRIVE, PORT)) == "05/53/02"
    assert robot.full() == before
    tape.good(TEST_UNIT_READY)


def test_the_picker_goes_everywhere(robot: Robot) -> None:
    for address in (PICKER, PORT, DRIVE + 1, SLOT + 3):
        robot.initiator.good(b"\x2b\0\0\1" + address.to_bytes(2, "big") + bytes(4))


def test_a_drive_that_keeps_its_tape(robot: Robot) -> None:
    robot.initiator.good(move(SLOT, DRIVE))
    [tape, _] = robot.tapes
    tape.run(TEST_UNIT_READY)
    tape.good(PREVENT)
    assert robot.initiator.code(move(DRIVE, SLOT)) == "05/53/03"
    assert robot.status()[DRIVE].flags == 0x01  # not accessible
    tape.good(TEST_UNIT_READY)
    tape.good(ALLOW)
    robot.initiator.good(move(DRIVE, SLOT))


def test_ports_that_are_locked(robot: Robot) -> None:
    robot.initiator.good(PREVENT)
    assert robot.initiator.code(move(SLOT, PORT)) == "05/53/02"
    robot.initiator.good(move(SLOT, DRIVE))
    robot.changer.reset(robot.initiator.nexus)
    robot.initiator.run(TEST_UNIT_READY)
    robot.initiator.good(move(DRIVE, PORT))


def test_a_file_that_is_no_tape_stays_where_it_is(folder: Path, make_robot: MakeRobot) -> None:
    (folder / "A00001.tap").write_text("no tape at all")
    robot = make_robot()
    before = robot.full()
    assert robot.initiator.code(move(SLOT, DRIVE)) == "03/53/00"
    assert robot.full() == before
    assert robot.tapes[0].code(TEST_UNIT_READY) == "02/3a/00"
    robot.initiator.good(move(SLOT + 1, DRIVE))
    robot.initiator.good(move(SLOT, SLOT + 1))


# ---- operators ---------------------------------------------------------------------------------


def test_new_tapes_come_into_ports_then_into_slots(robot: Robot, folder: Path) -> None:
    second = UnitInitiator(robot.changer, "initiator 2")
    for name in ("N1", "N2", "N3"):
        (folder / f"{name}.tap").touch()
    robot.initiator.good(INITIALIZE)
    for initiator in (robot.initiator, second):
        assert initiator.code(TEST_UNIT_READY) == "06/28/01"
        initiator.good(TEST_UNIT_READY)
    assert robot.full() == {
        PORT: "N1",
        PORT + 1: "N2",
        SLOT: "A00001",
        SLOT + 1: "A00002",
        SLOT + 2: "B00003",
        SLOT + 3: "N3",
    }
    assert robot.status()[PORT].flags & 0x02


def test_tapes_that_are_gone(robot: Robot, folder: Path) -> None:
    """The one in a drive is still there."""
    robot.initiator.good(move(SLOT, DRIVE))
    for path in folder.glob("A*.tap"):
        path.unlink()
    robot.initiator.good("37 01 04 00 00 00 00 01 00 00")
    assert robot.full() == {DRIVE: "A00001", SLOT + 2: "B00003"}
    robot.initiator.good(INITIALIZE)
    robot.initiator.good(TEST_UNIT_READY)


def test_more_new_tapes_than_there_is_room_for(robot: Robot, folder: Path) -> None:
    before = robot.full()
    for n in range(4):
        (folder / f"N{n}.tap").touch()
    assert robot.initiator.code(INITIALIZE) == "02/04/03"
    assert robot.full() == before
    (folder / "N3.tap").unlink()
    robot.initiator.good(INITIALIZE)
