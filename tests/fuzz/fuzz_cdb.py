"""Any commands to a disk, a tape or a changer: each is answered as the standards have it, and what
is behind the unit stays whole.

Input: which unit, then commands: initiator and length of the CDB; how much data comes with it, as
they are or, above 0x7fff, one byte repeated; the CDB; the data.
"""

from __future__ import annotations

import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import atheris

with atheris.instrument_imports(include=["pvdrivers"]):
    from pvdrivers.backends.stores.store import RamStore
    from pvdrivers.backends.targets.background import Steps
    from pvdrivers.backends.targets.changer.unit import Changer
    from pvdrivers.backends.targets.command import Command, Nexus
    from pvdrivers.backends.targets.disk.unit import Disk
    from pvdrivers.backends.targets.emulated_unit import EmulatedUnit
    from pvdrivers.backends.targets.spc.identity import Identity
    from pvdrivers.backends.targets.tape.image import Position, TapeImage
    from pvdrivers.backends.targets.tape.unit import Tape
    from pvdrivers.testing.scsi.answers import check_answer

ROOM = 1 << 16
BLOCKS = 64
CAPACITY = 3 << 16  # bytes of a tape
COMMANDS = 30  # of one input; more show nothing new
RECORDED = b"\3\0\0\0one\0\3\0\0\0" + bytes(4) + b"\2\0\0\x80xy\2\0\0\x80" + bytes(4)


class AtOnce:
    def start(self, steps: Steps) -> None:
        for _ in steps:
            pass

    def stop(self) -> None: ...


class UnderTest(NamedTuple):
    unit: EmulatedUnit
    close: Callable[[], None]  # and looks whether all is whole


def disk(block: int) -> UnderTest:
    unit = Disk(RamStore(BLOCKS * block, block), Identity.of("disk"), background=AtOnce())
    return UnderTest(unit, unit.close)


def tape(folder: Path) -> UnderTest:
    path = folder / "tape.tap"
    path.write_bytes(RECORDED)
    unit = Tape(Identity.of("tape"), path, capacity=CAPACITY)

    def close() -> None:
        unit.close()
        partitions = [path, *folder.glob("tape.tap.partition-1")]
        assert sum(one.stat().st_size for one in partitions) <= CAPACITY
        for one in partitions:
            image, position = TapeImage.open(one), Position()
            while found := image.after(position):
                position = found.end
            image.close()

    return UnderTest(unit, close)


def changer(folder: Path) -> UnderTest:
    names = ["A1", "A2", "A3"]
    for name in names:
        (folder / f"{name}.tap").touch()
    drives = [Tape(Identity.of(f"drive {n}")) for n in range(2)]
    unit = Changer(Identity.of("changer"), folder, drives, slots=4, ports=2)

    def close() -> None:
        cartridges = unit.inventory.cartridges
        assert sorted(one.barcode for one in cartridges.values()) == names
        for one in (unit, *drives):
            one.close()

    return UnderTest(unit, close)


UNITS: tuple[Callable[[Path], UnderTest], ...] = (
    lambda folder: disk(512),
    lambda folder: disk(4096),
    tape,
    changer,
)


def commands(data: bytes, nexuses: tuple[Nexus, Nexus]) -> Iterator[Command]:
    place = 0
    for _ in range(COMMANDS):
        if place + 3 > len(data):
            return
        who, length = struct.unpack_from("<BH", data, place)
        cdb = data[place + 3 :][: min(who & 0x1F, 16)]
        place += 3 + len(cdb)
        sent = data[place:][:length] if length < 0x8000 else bytes((who,)) * (length - 0x8000)
        place += len(sent) if length < 0x8000 else 0
        yield Command(nexuses[who >> 7], cdb, sent, ROOM)


def test_one_input(data: bytes) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        kind = data[0] % len(UNITS) if data else 0
        unit, close = UNITS[kind](Path(folder))
        nexuses = Nexus("initiator 1"), Nexus("initiator 2")
        for nexus in nexuses:
            unit.attach(nexus)
        for command in commands(data[1:], nexuses):
            unit.excludes_direct_access(command.cdb)
            check_answer(command, unit.execute(command))
            unit.direct_access(command.nexus)
        close()


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
