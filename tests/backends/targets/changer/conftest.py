"""A changer with two drives, four slots, two ports, and three tapes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pvdrivers.backends.targets.changer.unit import Changer
from pvdrivers.backends.targets.journal import Journal, journal_size
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

PICKER, PORT, DRIVE, SLOT = 0x1, 0x10, 0x100, 0x400
INITIALIZE = "07 00 00 00 00 00"


def move(source: int, destination: int, transport: int = 0) -> bytes:
    return struct.pack(">BxHHHxxxx", 0xA5, transport, source, destination)


def exchange(source: int, first: int, second: int, transport: int = 0) -> bytes:
    return struct.pack(">BxHHHHxx", 0xA6, transport, source, first, second)


def read_status(
    kind: int = 0, first: int = 0, most: int = 0xFFFF, *, tags: bool = True, drives: bool = True
) -> bytes:
    return struct.pack(
        ">BBHHI2x", 0xB8, kind | (0x10 if tags else 0), first, most, drives << 24 | 0xFFFF
    )


class Status(NamedTuple):
    """What a descriptor tells."""

    kind: int
    flags: int
    barcode: str
    source: int | None
    naa: int | None


def parse_status(data: bytes) -> dict[int, Status]:
    """READ ELEMENT STATUS data, as an initiator takes them apart (SMC-3 6.11)."""
    lowest, number, length = struct.unpack_from(">HHI", data)
    assert len(data) == 8 + length
    found = {}
    place = 8
    while place < len(data):
        kind, tags, size, length = struct.unpack_from(">BBHI", data, place)
        place += 8
        for start in range(place, place + length, size):
            one = data[start : start + size]
            address, flags, valid, source = struct.unpack_from(">HB6xBH", one)
            rest = one[48:] if tags & 0x80 else one[12:]
            barcode = one[12:44].rstrip(b" \0").decode() if tags & 0x80 else ""
            naa = int.from_bytes(rest[4:], "big") if rest[:4] == b"\1\3\0\x08" else None
            found[address] = Status(kind, flags, barcode, source if valid & 0x80 else None, naa)
        place += length
    assert (len(found), min(found)) == (number, lowest)
    return found


class Robot:
    """A changer, its drives, and an initiator at each."""

    def __init__(self, folder: Path, *, attach: bool = True, **options: Any) -> None:
        self.folder = folder
        self.drives = [Tape(Identity.of(f"drive {n}", product="TAPE")) for n in range(2)]
        options = {"slots": 4, "ports": 2} | options
        self.changer = Changer(
            Identity.of("robot", product="CHANGER"), folder, self.drives, **options
        )
        if attach:
            room = Changer.journal_room
            self.changer.take_up(Journal(bytearray(journal_size(room)), room))
            self.attach()

    def attach(self) -> None:
        self.initiator = UnitInitiator(self.changer, "guest")
        self.tapes = [UnitInitiator(drive, "guest") for drive in self.drives]

    def status(self) -> dict[int, Status]:
        return parse_status(self.initiator.good(read_status()))

    def full(self) -> dict[int, str]:
        return {
            address: status.barcode for address, status in self.status().items() if status.flags & 1
        }

    def close(self) -> None:
        self.changer.close()
        for drive in self.drives:
            drive.close()


MakeRobot = Callable[..., Robot]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("B00003", "A00001", "A00002"):
        (tmp_path / f"{name}.tap").touch()
    (tmp_path / "README").touch()
    return tmp_path


@pytest.fixture
def make_robot(folder: Path) -> Iterator[MakeRobot]:
    robots: list[Robot] = []

    def make(path: Path = folder, **options: Any) -> Robot:
        robots.append(Robot(path, **options))
        return robots[-1]

    yield make
    for robot in robots:
        robot.close()


@pytest.fixture
def robot(make_robot: MakeRobot) -> Robot:
    return make_robot()
