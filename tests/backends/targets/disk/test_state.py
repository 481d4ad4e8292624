"""Capacity, power, write protection, errors of the store, and what may bypass the emulation."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest

from pvdrivers.backends.stores.filters import ErrorFilter
from pvdrivers.backends.stores.store import FileStore, RamStore, StoreOperation
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.result import Status
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .conftest import BLOCKS, MakeDisk

READ_CAPACITY_16 = "9e 10" + "00" * 8 + "00 00 00 20 00 00"
WRITES = [
    "0a 00 00 00 01 00",
    "2a 00 00 00 00 00 00 00 01 00",
    "8b 00" + "00" * 8 + "00 00 00 01 00 00",
    "89 00" + "00" * 8 + "00 00 00 01 00 00",
    "42 00 00 00 00 00 00 00 00 00",
    "41 00 00 00 00 00 00 00 01 00",
    "2e 00 00 00 00 00 00 00 01 00",
    "04 00 00 00 00 00",
    "48 02 00 00 00 00 00 00 00 00",
]


def disk_of(initiator: UnitInitiator) -> Disk:
    assert isinstance(initiator.unit, Disk)
    return initiator.unit


# ---- capacity ----------------------------------------------------------------------------------


def test_read_capacity(initiator: UnitInitiator, block_size: int) -> None:
    expected = struct.pack(">II", BLOCKS - 1, block_size)
    assert initiator.good("25 00 00 00 00 00 00 00 00 00") == expected
    long = initiator.good(READ_CAPACITY_16)
    assert long == struct.pack(">QI", BLOCKS - 1, block_size) + bytes((0, 0, 0xC0, 0)) + bytes(16)
    assert initiator.good("9e 10" + "00" * 8 + "00 00 00 0c 00 00") == long[:12]


def test_a_disk_that_is_too_large_for_10_bytes(make_disk: MakeDisk, tmp_path: Path) -> None:
    path = tmp_path / "image"
    with path.open("wb") as image:
        image.truncate((1 << 32) * 512)
    initiator = make_disk(FileStore(path, threads=0))
    assert initiator.good("25" + "00" * 9) == struct.pack(">II", 0xFFFFFFFF, 512)
    assert initiator.good(READ_CAPACITY_16)[:8] == struct.pack(">Q", (1 << 32) - 1)
    descriptor = initiator.good("5a 00 08 00 00 00 00 00 ff 00")[8:16]
    assert descriptor == struct.pack(">II", 0xFFFFFFFF, 512)
    last = BlockRange((1 << 32) - 1, 1)
    initiator.good(last.cdb(0x8A), b"\1" * 512)
    assert initiator.good(last.cdb(0x88)) == b"\1" * 512


def test_physical_blocks(make_disk: MakeDisk) -> None:
    store = RamStore(BLOCKS * 512)
    store.geometry.physical_sector_size = 4096
    initiator = make_disk(store)
    assert initiator.good(READ_CAPACITY_16)[13] == 3
    assert initiator.good("12 01 b0 00 ff 00")[6:8] == bytes((0, 8))


def test_another_capacity_is_told_once(make_disk: MakeDisk, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(64 * 512))
    initiator = make_disk(FileStore(path, threads=0))
    disk = disk_of(initiator)
    disk.refresh()
    initiator.good("00 00 00 00 00 00")
    path.write_bytes(bytes(128 * 512))
    disk.refresh()
    assert disk.direct_access(initiator.nexus) == (False, False)
    assert initiator.code("00 00 00 00 00 00") == "06/2a/09"
    assert initiator.good("25" + "00" * 9)[:4] == struct.pack(">I", 127)
    assert disk.direct_access(initiator.nexus) == (True, True)


# ---- defects -------------------------------------------------------------------------------


def test_no_defects_are_listed(initiator: UnitInitiator) -> None:
    assert initiator.good("37 00 1d 00 00 00 00 00 20 00") == bytes((0, 0x1D, 0, 0))
    assert initiator.good("37 00 1d 00 00 00 00 00 02 00") == bytes((0, 0x1D))
    expected = bytes((0, 0x0D)) + bytes(6)
    assert initiator.good("b7 0d 00 00 00 00 00 00 00 20 00 00") == expected


# ---- power -------------------------------------------------------------------------------------


def test_a_stopped_disk(initiator: UnitInitiator, block_size: int) -> None:
    initiator.good("1b 00 00 00 00 00")
    for cdb in ("00 00 00 00 00 00", "28" + "00" * 9, "25" + "00" * 9, READ_CAPACITY_16, *WRITES):
        assert initiator.code(cdb, bytes(2 * block_size)) == "02/04/02"
    assert initiator.good("03 00 00 00 ff 00")[2] == 0x02
    assert disk_of(initiator).direct_access(initiator.nexus) == (False, False)
    initiator.good("1a 08 3f 00 ff 00")
    initiator.good("1b 00 00 00 01 00")
    initiator.good("00 00 00 00 00 00")
    assert disk_of(initiator).direct_access(initiator.nexus) == (True, True)


@pytest.mark.parametrize("flags", [0x10, 0x30, 0x70, 0xB1, 0x02, 0x03])
def test_power_conditions_and_ejecting_are_refused(initiator: UnitInitiator, flags: int) -> None:
    assert initiator.code(bytes((0x1B, 0, 0, 0, flags, 0))) == "05/24/00"
    initiator.good("00 00 00 00 00 00")


def test_prevent_allow_has_no_effect(initiator: UnitInitiator) -> None:
    initiator.good("1e 00 00 00 01 00")
    initiator.good("1e 00 00 00 00 00")


# ---- write protection --------------------------------------------------------------------------


def test_a_read_only_store(make_disk: MakeDisk, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(BLOCKS * 512))
    initiator = make_disk(FileStore(path, threads=0, read_only=True))
    for cdb in WRITES:
        code = initiator.code(cdb, bytes(1024))
        assert code == ("05/20/00" if cdb.startswith("42") else "07/27/00")
    initiator.good("28 00 00 00 00 00 00 00 01 00")
    assert initiator.good("1a 08 3f 00 ff 00")[2] == 0x90  # WP, DPOFUA
    assert disk_of(initiator).direct_access(initiator.nexus) == (True, False)


def test_software_write_protection(initiator: UnitInitiator, block_size: int) -> None:
    assert initiator.good("1a 08 3f 00 ff 00")[2] == 0x10
    page = "0a 0a 02 10 08 00 00 00 00 00 00 00"
    initiator.good("15 10 00 00 10 00", bytes(4) + bytes.fromhex(page))
    for cdb in WRITES:
        assert initiator.code(cdb, bytes(2 * block_size)) == "07/27/02"
    assert initiator.good("1a 08 3f 00 ff 00")[2] == 0x90
    assert disk_of(initiator).direct_access(initiator.nexus) == (True, False)


# ---- errors of the store -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "error", "cdb", "code", "lba"),
    [
        (StoreOperation.READ, errno.EIO, BlockRange(5, 2).cdb(0x28), "03/11/00", 5),
        (StoreOperation.READ, errno.EIO, BlockRange(5, 2).cdb(0x2F), "03/11/00", 5),
        (StoreOperation.READ, errno.ETIMEDOUT, BlockRange(5, 2).cdb(0x08), "03/11/00", 5),
        (StoreOperation.WRITE, errno.EIO, BlockRange(6, 1).cdb(0x2A), "03/0c/00", 6),
        (StoreOperation.WRITE, errno.ENOSPC, BlockRange(6, 1).cdb(0x2A), "07/27/07", 6),
        (StoreOperation.WRITE, errno.EDQUOT, BlockRange(6, 1).cdb(0x41), "07/27/07", 6),
        (StoreOperation.WRITE, errno.EROFS, BlockRange(6, 1).cdb(0x2A), "07/27/00", 6),
        (StoreOperation.FLUSH, errno.EIO, BlockRange(6, 1).cdb(0x35), "03/0c/00", None),
        (StoreOperation.FLUSH, errno.EIO, BlockRange(6, 1).cdb(0x2A, 0x08), "03/0c/00", None),
        (StoreOperation.DISCARD, errno.EIO, BlockRange(6, 1).cdb(0x41, 0x08), "03/0c/00", 6),
    ],
)
def test_what_the_store_cannot_do(
    make_disk: MakeDisk,
    operation: StoreOperation,
    error: int,
    cdb: bytes,
    code: str,
    lba: int | None,
) -> None:
    store = ErrorFilter(RamStore(BLOCKS * 512), seed=1, operations=[operation], error=error)
    initiator = make_disk(store)
    assert initiator.code(cdb, bytes(512)) == code
    assert initiator.sense(cdb, bytes(512)).information == lba


# ---- what bypasses the emulation ---------------------------------------------------------------


def test_another_initiators_reservation_closes_direct_access(initiator: UnitInitiator) -> None:
    disk = disk_of(initiator)
    other = UnitInitiator(disk, "initiator 2")
    initiator.good("16 00 00 00 00 00")
    assert disk.direct_access(initiator.nexus) == (True, True)
    assert disk.direct_access(other.nexus) == (False, False)
    assert other.run("28" + "00" * 9).status == Status.RESERVATION_CONFLICT


def test_refused_commands(make_disk: MakeDisk) -> None:
    initiator = make_disk(RamStore(BLOCKS * 512), refuse=["FORMAT UNIT", "SANITIZE OVERWRITE"])
    assert initiator.code("04 00 00 00 00 00") == "05/20/00"
    assert initiator.code("48 01 00 00 00 00 00 00 08 00", bytes(8)) == "05/24/00"
    initiator.good("48 02 00 00 00 00 00 00 00 00")
    with pytest.raises(UsageError, match=r"no command 'FORMAT': .*FORMAT UNIT"):
        make_disk(RamStore(BLOCKS * 512), refuse=["FORMAT"])


def test_a_disk_without_read_10_gives_no_direct_access(make_disk: MakeDisk) -> None:
    initiator = make_disk(RamStore(BLOCKS * 512), refuse=["WRITE(10)"])
    assert disk_of(initiator).direct_access(initiator.nexus) == (True, False)


def test_a_disk_describes_itself(initiator: UnitInitiator) -> None:
    assert "RamStore" in repr(initiator.unit)
    assert disk_of(initiator).identity.serial in repr(initiator.unit)


def test_closing_twice(initiator: UnitInitiator) -> None:
    initiator.unit.close()
    initiator.unit.close()
