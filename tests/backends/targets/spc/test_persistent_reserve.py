"""PERSISTENT RESERVE, where the model of all sequences says nothing: layouts, lengths,
TransportIDs, several ports, and what outlasts a loss of power."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.targets.command import Command, Nexus
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.journal import Journal, journal_size
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.spc.reservation_file import ReservationFile
from pvdrivers.backends.targets.spc.reservations import Registrant, Reservations, ReservationType
from pvdrivers.backends.targets.spc.transport_id import encode_transport_id
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.result import Status
from pvdrivers.testing.scsi.persistent_reserve import (
    Out,
    Registration,
    read_full_status,
    read_keys,
    read_reservation,
    reserve_move,
    reserve_out,
    transport_id,
)
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

A, B = "iqn.2026-01.example:a", "iqn.2026-01.example:b"
CAPABILITIES = "5e 02 00 00 00 00 00 00 08 00"
APTPL, ALL_TG_PT = 0x01, 0x04
WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS_ALL = 1, 8


@pytest.fixture
def disk() -> Disk:
    return Disk(RamStore(64 * 512), Identity.of("disk"))


@pytest.fixture
def a(disk: Disk) -> UnitInitiator:
    return UnitInitiator(disk, A)


@pytest.fixture
def b(disk: Disk) -> UnitInitiator:
    return UnitInitiator(disk, B)


def good(initiator: UnitInitiator, *arguments: int, **keywords: int) -> None:
    action, *rest = arguments
    assert reserve_out(initiator, Out(action), *rest, **keywords).status == Status.GOOD


# ---- lists ---------------------------------------------------------------------------------------


def test_capabilities(a: UnitInitiator) -> None:
    """Compatible with RESERVE, other initiators, all ports; all six types; none survives."""
    assert a.good(CAPABILITIES).hex(" ") == "00 08 1c 80 ea 01 00 00"


def test_full_status_has_transport_ids(a: UnitInitiator) -> None:
    good(a, Out.REGISTER, 0, 0xABCD)
    good(a, Out.RESERVE, 0xABCD, 0, WRITE_EXCLUSIVE)
    data = a.good("5e 03 00 00 00 00 00 10 00 00")
    assert data[8 + 24 :] == transport_id(A)
    assert data[8 : 8 + 24].hex(" ") == (
        "00 00 00 00 00 00 ab cd 00 00 00 00 01 01 00 00 00 00 00 01 00 00 00 1c"
    )


@pytest.mark.parametrize("action", [0, 1, 2, 3])
def test_allocation_length_cuts_off(a: UnitInitiator, action: int) -> None:
    good(a, Out.REGISTER, 0, 1)
    good(a, Out.RESERVE, 1, 0, WRITE_EXCLUSIVE)
    whole = a.good(struct.pack(">BB5xHx", 0x5E, action, 0xFFFF))
    for room in range(len(whole)):
        assert a.good(struct.pack(">BB5xHx", 0x5E, action, room)) == whole[:room]


def test_unknown_service_actions(a: UnitInitiator) -> None:
    assert a.code("5e 04" + "00" * 8) == "05/24/00"
    assert a.code("5f 08" + "00" * 8) == "05/24/00"


@pytest.mark.parametrize("length", [0, 23, 25, 28])
@pytest.mark.parametrize("action", [*Out])
def test_a_parameter_list_of_another_length(a: UnitInitiator, action: Out, length: int) -> None:
    good(a, Out.REGISTER, 0, 1)
    data = struct.pack(">QQ", 1, 1).ljust(length, b"\0")[:length]
    cdb = struct.pack(">BBBxxIx", 0x5F, action, WRITE_EXCLUSIVE, length)
    assert a.code(cdb, data) == "05/1a/00"
    assert read_keys(a) == (1, [1])


def test_a_parameter_list_that_does_not_come(a: UnitInitiator) -> None:
    assert a.code("5f 00 00 00 00 00 00 00 18 00", bytes(23)) == "05/1a/00"


# ---- TransportIDs --------------------------------------------------------------------------------


def register_others(initiator: UnitInitiator, names: bytes, length: int | None = None) -> str:
    data = struct.pack(">QQ4xB3xI", 0, 5, 0x08, len(names) if length is None else length) + names
    return initiator.code(struct.pack(">BBBxxIx", 0x5F, 0, 0, len(data)), data)


def test_others_are_registered_too(a: UnitInitiator, b: UnitInitiator) -> None:
    assert reserve_out(a, Out.REGISTER, 0, 5, others=[B, "iqn.2026-01.example:far"]).status == 0
    assert sorted(read_full_status(a)) == [
        Registration(A, 1, 5, 0),
        Registration(B, 1, 5, 0),
        Registration("iqn.2026-01.example:far", 1, 5, 0),
    ]
    good(b, Out.RESERVE, 5, 0, WRITE_EXCLUSIVE)


def test_a_session_in_a_transport_id_does_not_matter(a: UnitInitiator, b: UnitInitiator) -> None:
    name = (B + ",i,0x00023d000002").encode().ljust(40, b"\0")
    data = struct.pack(">QQ4xB3xI", 0, 5, 0x08, 44) + b"\x45\0\0\x28" + name
    a.good(struct.pack(">BBBxxIx", 0x5F, 0, 0, len(data)), data)
    assert {one.initiator for one in read_full_status(a)} == {A, B}


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (transport_id(A), "05/26/00"),  # its own
        (transport_id(B) + b"\5\0\0", "05/1a/00"),
        (transport_id(B)[:-4], "05/1a/00"),
        (b"\x06" + transport_id(B)[1:], "05/26/00"),  # SAS
        (b"\5\0\0\x08" + B[:7].encode() + b"\0", "05/26/00"),  # too short
        (b"\5\0\0\x14" + b"x" * 20, "05/26/00"),  # without an end
        (b"\5\0\0\x14" + bytes(20), "05/26/00"),
        (b"\5\0\0\x14" + b"\xff" * 19 + b"\0", "05/26/00"),
        (b"\x45" + transport_id(B)[1:], "05/26/00"),  # without the session it promises
        (b"\5\0\1\0" + b"x" * 255 + b"\0", "05/26/00"),  # longer than names are
    ],
)
def test_a_list_that_is_wrong_registers_nobody(a: UnitInitiator, names: bytes, code: str) -> None:
    assert register_others(a, names) == code
    assert register_others(a, transport_id(B), length=4) == "05/1a/00"
    assert read_keys(a) == (0, [])


def test_move_takes_one_transport_id(a: UnitInitiator, b: UnitInitiator) -> None:
    good(a, Out.REGISTER, 0, 1)
    good(a, Out.RESERVE, 1, 0, WRITE_EXCLUSIVE)
    for names in (b"", transport_id(B) * 2):
        data = struct.pack(">QQxBHI", 1, 2, 0, 1, len(names)) + names
        assert a.code(struct.pack(">BBBxxIx", 0x5F, 7, 0, len(data)), data) == "05/26/00"
    assert reserve_move(a, 1, 2, B, port=9).status == Status.CHECK_CONDITION
    assert reserve_move(a, 1, 2, B).status == Status.GOOD
    assert read_reservation(b) == (2, WRITE_EXCLUSIVE)


def test_registrations_have_a_limit(a: UnitInitiator) -> None:
    names = [f"iqn.2026-01.example:{i}" for i in range(127)]
    good(a, Out.REGISTER, 0, 1)
    good(a, Out.REGISTER, 1, 0)
    assert reserve_out(a, Out.REGISTER, 0, 1, others=[*names, "iqn.too-many"]).sense
    assert register_others(a, b"".join(map(transport_id, [*names, "iqn.x"]))) == "05/55/04"
    assert reserve_out(a, Out.REGISTER, 0, 1, others=names).status == Status.GOOD


# ---- target ports --------------------------------------------------------------------------------


def at_port(disk: Disk, name: str, port: int) -> UnitInitiator:
    initiator = UnitInitiator(disk, name)
    disk.detach(initiator.nexus)
    initiator.nexus = Nexus(name, port)
    disk.attach(initiator.nexus)
    return initiator


def test_a_registration_is_of_one_port(disk: Disk) -> None:
    one, two = at_port(disk, A, 1), at_port(disk, A, 2)
    good(one, Out.REGISTER, 0, 5)
    assert reserve_out(two, Out.RESERVE, 5, 0, 1).status == Status.RESERVATION_CONFLICT
    good(one, Out.RESERVE, 5, 0, WRITE_EXCLUSIVE)
    assert two.run("2a" + "00" * 9).status == Status.RESERVATION_CONFLICT


def test_all_ports_are_registered_at_once(disk: Disk) -> None:
    one, two = at_port(disk, A, 1), at_port(disk, A, 2)
    good(one, Out.REGISTER, 0, 5, flags=ALL_TG_PT)
    assert read_full_status(two) == [Registration(A, 1, 5, 0), Registration(A, 2, 5, 0)]
    good(two, Out.RESERVE, 5, 0, EXCLUSIVE_ACCESS_ALL)
    good(one, Out.REGISTER, 5, 0, flags=ALL_TG_PT)
    assert read_keys(two) == (2, [])
    assert read_reservation(two) is None


# ---- over a loss of power ------------------------------------------------------------------------


@pytest.fixture
def restart(tmp_path: Path) -> Callable[[], UnitInitiator]:
    """A new disk on the same reservation file."""

    def start() -> UnitInitiator:
        disk = Disk(RamStore(64 * 512), Identity.of("disk"))
        disk.keep_reservations_in(ReservationFile(tmp_path / "r"))
        return UnitInitiator(disk, A)

    return start


def test_what_is_to_survive_does(restart: Callable[[], UnitInitiator]) -> None:
    a = restart()
    assert a.good(CAPABILITIES)[2:4] == b"\x1d\x80"
    good(a, Out.REGISTER, 0, 5, flags=APTPL)
    assert a.good(CAPABILITIES)[2:4] == b"\x1d\x81"
    good(a, Out.RESERVE, 5, 0, WRITE_EXCLUSIVE)
    a = restart()
    assert read_keys(a) == (0, [5])
    assert read_reservation(a) == (5, WRITE_EXCLUSIVE)
    assert UnitInitiator(a.unit, B).run("2a" + "00" * 9).status == Status.RESERVATION_CONFLICT
    good(a, Out.CLEAR, 5)
    assert read_keys(restart()) == (0, [])


def test_the_last_registration_decides(restart: Callable[[], UnitInitiator]) -> None:
    a = restart()
    good(a, Out.REGISTER, 0, 5, flags=APTPL)
    good(a, Out.REGISTER, 5, 6)
    assert read_keys(restart()) == (0, [])


def test_without_a_file_nobody_is_promised_anything(a: UnitInitiator) -> None:
    data = struct.pack(">QQ4xB3x", 0, 5, APTPL)
    assert a.code("5f 00 00 00 00 00 00 00 18 00", data) == "05/26/00"


def test_a_file_that_cannot_be_written_refuses_and_changes_nothing(
    tmp_path: Path, restart: Callable[[], UnitInitiator]
) -> None:
    a = restart()
    (tmp_path / "r.new").mkdir()
    data = struct.pack(">QQ4xB3x", 0, 5, APTPL)
    assert a.code("5f 00 00 00 00 00 00 00 18 00", data) == "05/55/04"
    assert read_keys(a) == (0, [])


@pytest.mark.parametrize("content", [b"x", b"\1\3\0\0\0\1\0", b"\1\xff\0\0\0\1\0" + bytes(12)])
def test_a_broken_file_is_named(tmp_path: Path, disk: Disk, content: bytes) -> None:
    (tmp_path / "r").write_bytes(content)
    with pytest.raises(UsageError, match=f"{tmp_path / 'r'} is not"):
        disk.keep_reservations_in(ReservationFile(tmp_path / "r"))


def test_bytes() -> None:
    keys = {Registrant(A, 1): 7, Registrant(B, 2): 0xFFFFFFFFFFFFFFFF}
    kind = ReservationType.EXCLUSIVE_ACCESS
    one = Reservations(keys, kind=kind, holder=Registrant(B, 2), survives=True)
    data = one.encode()
    assert Reservations.decode(data) == one
    for size in range(len(data)):
        with pytest.raises(ValueError, match="cut off"):
            Reservations.decode(data[:size])


def test_transport_ids() -> None:
    for size in range(1, 224):
        assert encode_transport_id("x" * size) == transport_id("x" * size)


# ---- over a kill ---------------------------------------------------------------------------------


def test_a_successor_has_all_of_it_and_does_nothing_twice(tmp_path: Path) -> None:
    """PREEMPT would conflict the second time, since nobody has that key any more."""
    memory = bytearray(journal_size(Disk.journal_room))
    file = ReservationFile(tmp_path / "r")

    def start() -> Disk:
        disk = Disk(RamStore(64 * 512), Identity.of("disk"))
        disk.keep_reservations_in(file)
        disk.take_up(Journal(memory, Disk.journal_room))
        return disk

    first = start()
    a, b = UnitInitiator(first, A), UnitInitiator(first, B)
    good(a, Out.REGISTER, 0, 1)
    good(b, Out.REGISTER, 0, 2)
    good(a, Out.RESERVE, 1, 0, WRITE_EXCLUSIVE)
    data = struct.pack(">QQ8x", 2, 1)
    preempt = Command(b.nexus, bytes.fromhex("5f 04 01 00 00 00 00 00 18 00"), data, 0, b"i" * 16)
    assert first.execute(preempt).status == Status.GOOD
    second = start()
    assert second.execute(preempt).status == Status.GOOD
    a, b = UnitInitiator(second, A), UnitInitiator(second, B)
    assert a.code("00" * 6) == "06/2a/05"
    assert read_keys(b) == (3, [2])
    assert read_reservation(b) == (2, WRITE_EXCLUSIVE)
    good(b, Out.CLEAR, 2)
    assert read_keys(UnitInitiator(start(), A)) == (4, [])


def test_the_longest_state_leaves_room_in_the_journal(a: UnitInitiator) -> None:
    names = [f"iqn.{i:03}".ljust(223, "x") for i in range(127)]
    assert reserve_out(a, Out.REGISTER, 0, 1, others=names).status == Status.GOOD
    assert isinstance(a.unit, Disk)
    assert len(a.unit.reservations.encode()) < Disk.journal_room // 4
