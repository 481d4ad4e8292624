"""Every command of every device type against the tables of conflicts of SPC-4, SBC-3, SSC-4 and
SMC-3, written down once more: what somebody who is not registered may do while a unit is reserved.

The model (test_reservations_model.py) has the reservations themselves, in any order."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.targets.changer.unit import Changer
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.emulated_unit import EmulatedUnit
from pvdrivers.backends.targets.operations import Operation
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.scsi.result import Status
from pvdrivers.testing.scsi.persistent_reserve import Out, reserve_out
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS = 1, 3
# Allowed at all times, of all device types; PREVENT ALLOW as it is here, which allows.
ALWAYS = """TEST UNIT READY|REQUEST SENSE|INQUIRY|LOG SENSE|REPORT LUNS|REPORT TARGET PORT GROUPS
PREVENT ALLOW MEDIUM REMOVAL|PERSISTENT RESERVE IN READ KEYS|PERSISTENT RESERVE IN READ RESERVATION
PERSISTENT RESERVE IN REPORT CAPABILITIES|PERSISTENT RESERVE IN READ FULL STATUS"""
# Those that conflict with exclusive access alone. All others conflict with both.
READS = """MODE SENSE(6)|MODE SENSE(10)|REPORT SUPPORTED OPERATION CODES
REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS"""
OF_TYPE = {
    Disk: (
        "READ CAPACITY(10)|READ CAPACITY(16)",
        """READ(6)|READ(10)|READ(12)|READ(16)|VERIFY(10)|VERIFY(12)|VERIFY(16)|PRE-FETCH(10)
PRE-FETCH(16)|READ DEFECT DATA(10)|READ DEFECT DATA(12)|GET LBA STATUS|POPULATE TOKEN
RECEIVE COPY OPERATING PARAMETERS|RECEIVE ROD TOKEN INFORMATION|REPORT SNAPSHOTS""",
    ),
    Tape: (
        "READ BLOCK LIMITS|REPORT DENSITY SUPPORT",
        """READ POSITION SHORT|READ POSITION VENDOR-SPECIFIC|READ POSITION LONG
READ POSITION EXTENDED""",
    ),
    Changer: ("", "READ ELEMENT STATUS"),
}
# They have rules of their own, which the model has.
RESERVING = ("RESERVE(", "RELEASE(", "PERSISTENT RESERVE OUT")
COMMANDS = [
    (kind, found)
    for kind in OF_TYPE
    for found in kind.operations
    if not found.name.startswith(RESERVING)
]


def names(text: str) -> set[str]:
    return set(text.replace("\n", "|").split("|"))


def conflicts(kind: type[EmulatedUnit], found: Operation) -> tuple[bool, bool]:
    """With write exclusive, and with exclusive access."""
    always, reads = OF_TYPE[kind]
    if found.name in names(ALWAYS) | names(always):
        return False, False
    return found.name not in names(READS) | names(reads), True


def make(kind: type[EmulatedUnit], folder: Path) -> EmulatedUnit:
    identity = Identity.of("unit")
    if kind is Disk:
        return Disk(RamStore(64 * 512), identity)
    if kind is Changer:
        return Changer(identity, folder, [Tape(Identity.of("drive"))])
    path = folder / "tape.tap"
    path.touch()
    return Tape(identity, path)


@pytest.mark.parametrize(
    ("kind", "found"), COMMANDS, ids=lambda one: getattr(one, "name", None) or one.__name__
)
def test_who_is_not_registered(kind: type[EmulatedUnit], found: Operation, tmp_path: Path) -> None:
    unit = make(kind, tmp_path)
    holder, other = (UnitInitiator(unit, f"iqn.2026-01.example:{name}") for name in "ab")
    cdb = bytearray(len(found.usage))
    cdb[:2] = found.opcode, found.service_action or 0
    told = []
    for reservation in (WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS):
        for action, keys in ((Out.REGISTER, (0, 1)), (Out.RESERVE, (1, 0))):
            assert reserve_out(holder, action, *keys, reservation).status == Status.GOOD
        told.append(other.run(bytes(cdb)).status == Status.RESERVATION_CONFLICT)
        assert reserve_out(holder, Out.CLEAR, 1).status == Status.GOOD
    assert tuple(told) == conflicts(kind, found)
    unit.close()


def test_every_name_is_a_command() -> None:
    for kind, texts in OF_TYPE.items():
        there = {found.name for found in kind.operations}
        assert {name for text in texts for name in names(text) if name} <= there
