"""Cartridges that come and go, write protection, and what a reset leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.result import Status
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .conftest import MakeTape
from .tape_commands import (
    ALLOW,
    LOAD,
    PREVENT,
    REWIND,
    TEST_UNIT_READY,
    TO_END,
    UNLOAD,
    block_length,
    filemarks,
    locate,
    position,
    put,
    read,
    space,
    write,
)

NEED_A_CARTRIDGE = [
    TEST_UNIT_READY, read(1), write(1), filemarks(0), filemarks(1), REWIND, space(0, 1), locate(1),
    "92" + "00" * 15, "91" + "00" * 15, "34" + "00" * 9, "19 00 00 00 00 00", LOAD, UNLOAD,
    "44 01 00 00 00 00 00 00 ff 00",
]  # fmt: skip
NO_CARTRIDGE, CHANGED = "02/3a/00", "06/28/00"


def tape_of(initiator: UnitInitiator) -> Tape:
    assert isinstance(initiator.unit, Tape)
    return initiator.unit


@pytest.mark.parametrize("cdb", NEED_A_CARTRIDGE)
def test_an_empty_drive(make_tape: MakeTape, cdb: str | bytes) -> None:
    assert make_tape(None).code(cdb, b"x") == NO_CARTRIDGE


@pytest.mark.parametrize(
    "cdb", ["12 00 00 00 60 00", "1a 00 3f ff ff 00", "05 00 00 00 00 00", PREVENT,
            "4d 00 6e 00 00 00 00 ff ff 00", "44 00 00 00 00 00 00 00 ff 00"]
)  # fmt: skip
def test_what_an_empty_drive_answers(make_tape: MakeTape, cdb: str) -> None:
    make_tape(None).good(cdb)


def test_a_cartridge_is_announced_to_everybody(make_tape: MakeTape, cartridge: Path) -> None:
    first = make_tape(None)
    second = UnitInitiator(first.unit, "initiator 2")
    tape_of(first).insert(cartridge)
    for initiator in (first, second):
        assert initiator.code(TEST_UNIT_READY) == CHANGED
        initiator.good(TEST_UNIT_READY)


def test_the_cartridge_at_the_beginning_is_not_new(initiator: UnitInitiator) -> None:
    initiator.good(TEST_UNIT_READY)


def test_unloaded_and_loaded_again(initiator: UnitInitiator) -> None:
    second = UnitInitiator(initiator.unit, "initiator 2")
    put(initiator, b"one")
    initiator.good(UNLOAD)
    assert initiator.code(read(3)) == NO_CARTRIDGE
    assert tape_of(initiator).cartridge is not None
    initiator.good(UNLOAD)
    initiator.good(LOAD)
    assert second.code(TEST_UNIT_READY) == CHANGED
    assert initiator.good(read(3)) == b"one"


def test_load_rewinds_what_is_loaded(initiator: UnitInitiator) -> None:
    second = UnitInitiator(initiator.unit, "initiator 2")
    put(initiator, b"one")
    initiator.good(LOAD)
    assert position(initiator) == (0, 0)
    second.good(TEST_UNIT_READY)


def test_load_to_the_end_of_the_tape_is_refused(initiator: UnitInitiator) -> None:
    assert initiator.code("1b 00 00 00 05 00") == "05/24/00"
    initiator.good("1b 00 00 00 04 00")


def test_removal_is_prevented_while_one_initiator_does(initiator: UnitInitiator) -> None:
    second = UnitInitiator(initiator.unit, "initiator 2")
    tape = tape_of(initiator)
    initiator.good(PREVENT)
    second.good(PREVENT)
    initiator.good(ALLOW)
    assert initiator.code(UNLOAD) == "05/53/02"
    second.unit.detach(second.nexus)
    assert not tape.removal_is_prevented
    initiator.good(UNLOAD)


def test_a_reset(initiator: UnitInitiator) -> None:
    """Ends prevention and brings the block length back; the tape stays where it is."""
    tape = tape_of(initiator)
    put(initiator, b"one", b"two")
    block_length(initiator, 512)
    initiator.good(PREVENT)
    tape.reset(initiator.nexus)
    assert initiator.code(TEST_UNIT_READY) == "06/29/03"
    assert not tape.removal_is_prevented
    assert tape.block_length == 0
    assert position(initiator) == (2, 0)


def test_a_drive_takes_one_cartridge(initiator: UnitInitiator, tmp_path: Path) -> None:
    tape = tape_of(initiator)
    other = tmp_path / "other.tap"
    other.touch()
    with pytest.raises(UsageError, match=r"other.tap: the drive has .*tape.tap already"):
        tape.insert(other)
    tape.remove()
    assert tape.cartridge is None
    assert initiator.code(LOAD) == NO_CARTRIDGE
    tape.remove()
    tape.insert(other)
    assert tape.cartridge == other


def test_what_is_no_tape_leaves_the_drive_empty(make_tape: MakeTape, tmp_path: Path) -> None:
    initiator = make_tape(None)
    (tmp_path / "text").write_text("some text")
    with pytest.raises(UsageError, match="no tape image in SIMH format"):
        tape_of(initiator).insert(tmp_path / "text")
    assert tape_of(initiator).cartridge is None
    assert initiator.code(TEST_UNIT_READY) == NO_CARTRIDGE


# ---- write protection --------------------------------------------------------------------------


@pytest.mark.parametrize("cdb", [write(3), filemarks(1), "19 01 00 00 00 00"])
def test_a_write_protected_cartridge(make_tape: MakeTape, cdb: str | bytes) -> None:
    put(make_tape(), b"one")
    initiator = make_tape(read_only=True)
    assert initiator.code(cdb, b"new") == "07/27/00"
    assert initiator.good(read(3)) == b"one"
    initiator.good(filemarks(0))
    assert initiator.good("1a 00 3f 00 ff 00")[2] == 0x90  # WP, buffered


def test_write_protection_by_an_initiator(initiator: UnitInitiator) -> None:
    initiator.good("15 10 00 00 10 00", "00 00 00 00 0a 0a 02 10 08 00 00 00 00 00 00 00")
    assert initiator.code(write(3), b"one") == "07/27/02"
    assert initiator.code(filemarks(1)) == "07/27/02"
    initiator.good(TO_END)


def test_numbers_that_a_tape_cannot_have(make_tape: MakeTape) -> None:
    with pytest.raises(UsageError, match="a capacity of at least 65536 bytes"):
        make_tape(capacity=65535)
    for number in (-1, 1 << 24):
        with pytest.raises(UsageError, match="block_length is 0"):
            make_tape(block_length=number)


# ---- reservations ------------------------------------------------------------------------------


def test_a_reserved_tape_is_not_moved_by_others(initiator: UnitInitiator) -> None:
    """Not by reading either, for which a disk would have allowed it."""
    second = UnitInitiator(initiator.unit, "initiator 2")
    put(initiator, b"one")
    initiator.good("5f 00 00 00 00 00 00 00 18 00", bytes(15) + b"\1" + bytes(8))  # REGISTER
    initiator.good("5f 01 01 00 00 00 00 00 18 00", bytes(7) + b"\1" + bytes(16))  # RESERVE
    for cdb in (read(3), write(3), REWIND, locate(0), space(0, -1), TO_END, UNLOAD, PREVENT):
        answer = second.run(cdb, b"new")
        assert answer.status == Status.RESERVATION_CONFLICT
    for harmless in ("05 00 00 00 00 00", ALLOW, "44 00 00 00 00 00 00 00 ff 00"):
        second.good(harmless)
    assert position(initiator) == (1, 0)
