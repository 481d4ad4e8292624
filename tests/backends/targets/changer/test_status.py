"""READ ELEMENT STATUS, and the mode pages that tell of elements."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pvdrivers.backends.targets.changer.unit import Changer
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.ring.errors import UsageError
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from ..sg3_utils import decoded
from .conftest import DRIVE, PICKER, PORT, SLOT, MakeRobot, Robot, move, parse_status, read_status

FULL, BY_OPERATOR, ACCESS, EXPORTS, IMPORTS = 0x01, 0x02, 0x08, 0x10, 0x20


def test_it_says_that_it_is_a_changer(robot: Robot) -> None:
    text = decoded(
        "sg_inq", robot.initiator.good("12 00 00 00 ff 00"), "--inhex=-", "--descriptors"
    )
    for told in ("Peripheral device type: medium changer", "SMC-3 (no version claimed)"):
        assert told in text


def test_tapes_are_in_slots_at_first_in_the_order_of_their_names(robot: Robot) -> None:
    status = robot.status()
    kinds = {PICKER: 1, PORT: 3, PORT + 1: 3, DRIVE: 4, DRIVE + 1: 4}
    kinds |= {SLOT + n: 2 for n in range(4)}
    assert {address: one.kind for address, one in status.items()} == kinds
    assert robot.full() == {SLOT: "A00001", SLOT + 1: "A00002", SLOT + 2: "B00003"}
    assert status[PICKER].flags == 0
    assert status[PORT].flags == ACCESS | EXPORTS | IMPORTS
    assert status[DRIVE].flags == ACCESS
    assert status[SLOT].flags == ACCESS | FULL


def test_drives_are_told_by_the_names_of_their_units(robot: Robot) -> None:
    """The same as in page 83 of the tape."""
    for n, tape in enumerate(robot.tapes):
        naa = robot.status()[DRIVE + n].naa
        assert naa is not None
        assert naa.to_bytes(8, "big") in tape.good("12 01 83 00 ff 00")
    without = parse_status(robot.initiator.good(read_status(drives=False)))
    assert {one.naa for one in without.values()} == {None}


def test_without_volume_tags(robot: Robot) -> None:
    data = robot.initiator.good(read_status(kind=2, tags=False, drives=False))
    assert struct.unpack_from(">HHI", data) == (SLOT, 4, 8 + 4 * 16)
    assert parse_status(data)[SLOT].flags == ACCESS | FULL


def test_where_a_tape_came_from(robot: Robot) -> None:
    robot.initiator.good(move(SLOT + 1, DRIVE))
    assert robot.status()[DRIVE].source == SLOT + 1
    robot.initiator.good(move(DRIVE, PORT))
    assert robot.status()[PORT].source == SLOT + 1
    assert robot.status()[SLOT + 1].source is None


@pytest.mark.parametrize(
    ("kind", "first", "most", "expected"),
    [
        (0, 0, 3, [PICKER, PORT, PORT + 1]),
        (0, PORT + 1, 3, [PORT + 1, DRIVE, DRIVE + 1]),
        (2, 0, 2, [SLOT, SLOT + 1]),
        (2, SLOT + 3, 9, [SLOT + 3]),
        (4, 2, 9, [DRIVE, DRIVE + 1]),
    ],
)
def test_some_elements(robot: Robot, kind: int, first: int, most: int, expected: list[int]) -> None:
    data = robot.initiator.good(read_status(kind, first, most))
    assert [*parse_status(data)] == expected


def test_elements_there_are_not(robot: Robot) -> None:
    assert robot.initiator.code(read_status(2, SLOT + 4)) == "05/21/01"
    assert robot.initiator.code(read_status(5)) == "05/24/00"
    assert robot.initiator.good(read_status(most=0)) == bytes(8)


def test_the_length_of_all_is_told_even_if_there_is_room_for_less(robot: Robot) -> None:
    all_of_it = robot.initiator.good(read_status())
    cdb = bytearray(read_status())
    cdb[7:10] = bytes((0, 0, 8))
    assert robot.initiator.good(bytes(cdb)) == all_of_it[:8]


def test_pages(robot: Robot) -> None:
    addresses = robot.initiator.good("1a 08 1d 00 ff 00")[4:]
    numbers = (PICKER, 1, SLOT, 4, PORT, 2, DRIVE, 2)
    assert addresses == b"\x1d\x12" + struct.pack(">8H2x", *numbers)
    assert robot.initiator.good("1a 08 1e 00 ff 00")[4:] == bytes((0x1E, 2, 0, 0))
    capabilities = robot.initiator.good("1a 08 1f 00 ff 00")[4:]
    assert capabilities == bytes.fromhex(
        "1f 12 0e 00 00 0e 0e 0e 00 00 00 00 00 0e 0e 0e 00 00 00 00"
    )


# ---- what a changer is made of -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slots": 0}, "a changer has 1 to 64512 storage elements"),
        ({"ports": 241}, "a changer has 0 to 240 import/export elements"),
        ({"slots": 2}, "has 3 more tapes, and the changer room for 2: give it more slots"),
    ],
)
def test_numbers_that_cannot_be(
    make_robot: MakeRobot, options: dict[str, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_robot(**options)


def test_a_changer_without_ports(make_robot: MakeRobot) -> None:
    robot = make_robot(ports=0)
    assert robot.initiator.code(read_status(3)) == "05/21/01"
    assert PORT not in robot.status()


@pytest.mark.parametrize("name", ["x" * 33, "käse"])
def test_names_that_are_no_barcodes(folder: Path, make_robot: MakeRobot, name: str) -> None:
    (folder / f"{name}.tap").touch()
    with pytest.raises(UsageError, match=r"is no barcode with \.tap"):
        make_robot()


def test_a_folder_that_is_not_there(make_robot: MakeRobot, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"folder of tapes .*none: No such file"):
        make_robot(tmp_path / "none")


def test_what_an_earlier_changer_has_left_in_a_drive(folder: Path) -> None:
    """Its tape is in the drive, and in no slot."""
    drive = Tape(Identity.of("drive"), folder / "A00001.tap")
    robot = Changer(Identity.of("robot"), folder, [drive])
    assert robot.inventory.cartridges[DRIVE].barcode == "A00001"
    names = [one.barcode for one in robot.inventory.cartridges.values()]
    assert names.count("A00001") == 1
    UnitInitiator(robot).good(move(DRIVE, SLOT + 3))
    assert drive.cartridge is None
    robot.close()
    drive.close()


def test_drives_that_it_cannot_have(folder: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "elsewhere" / "foreign.tap"
    foreign.parent.mkdir()
    foreign.touch()
    drive = Tape(Identity.of("drive"), foreign)
    with pytest.raises(UsageError, match=r"no tape of .*: a changer's drive is empty at first"):
        Changer(Identity.of("robot"), folder, [drive])
    drive.remove()
    robot = Changer(Identity.of("robot"), folder, [drive])
    with pytest.raises(UsageError, match=r"is a drive of the changer .* already"):
        Changer(Identity.of("other robot"), folder, [drive])
    robot.close()
    Changer(Identity.of("other robot"), folder, [drive]).close()
    with pytest.raises(UsageError, match="1 to 768 drive elements"):
        Changer(Identity.of("robot"), folder, [])
    drive.close()
