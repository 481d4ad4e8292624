"""SANITIZE and FORMAT UNIT: what they leave, their parameters, their progress, their failures."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pvdrivers.backends.stores.filters import ErrorFilter
from pvdrivers.backends.stores.store import FileStore, RamStore, StoreOperation
from pvdrivers.backends.targets.background import BackgroundThread
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.sense import Sense
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .conftest import BLOCKS, MakeDisk, ManualBackground

IMMED, AUSE = 0x80, 0x20
OVERWRITE, BLOCK_ERASE, EXIT_FAILURE_MODE = 1, 2, 0x1F
TEST_UNIT_READY = "00 00 00 00 00 00"


def sanitize(action: int, data: bytes = b"", flags: int = 0) -> tuple[bytes, bytes]:
    return bytes((0x48, action | flags, 0, 0, 0, 0, 0, *len(data).to_bytes(2, "big"), 0)), data


def pattern(data: bytes, passes: int = 1, invert: bool = False) -> bytes:
    return bytes((passes | invert << 7, 0, *len(data).to_bytes(2, "big"))) + data


def content(initiator: UnitInitiator) -> bytes:
    return initiator.good(BlockRange(0, BLOCKS).cdb(0x28))


@pytest.fixture(autouse=True)
def filled(initiator: UnitInitiator, block_size: int) -> None:
    initiator.good(BlockRange(0, BLOCKS).cdb(0x2A), b"\xaa" * BLOCKS * block_size)


@pytest.mark.parametrize(
    ("data", "passes", "invert", "expected"),
    [
        (b"\x11", 1, False, b"\x11"),
        (b"abc", 1, False, b"abc"),
        (b"\x11", 2, True, b"\xee"),
        (b"\x11", 3, True, b"\x11"),
        (b"\x11", 31, False, b"\x11"),
    ],
)
def test_overwrite(
    initiator: UnitInitiator,
    block_size: int,
    data: bytes,
    passes: int,
    invert: bool,
    expected: bytes,
) -> None:
    initiator.good(*sanitize(OVERWRITE, pattern(data, passes, invert)))
    block = (expected * block_size)[:block_size]
    assert content(initiator) == block * BLOCKS


def test_overwrite_with_a_whole_block(initiator: UnitInitiator, block_size: int) -> None:
    block = bytes(range(256)) * (block_size // 256)
    initiator.good(*sanitize(OVERWRITE, pattern(block)))
    assert content(initiator) == block * BLOCKS


def test_what_overwrite_refuses(initiator: UnitInitiator, block_size: int) -> None:
    before = content(initiator)
    for data in (
        b"",
        pattern(b""),
        pattern(b"a", passes=0),
        pattern(bytes(block_size + 1)),
        b"\x21" + pattern(b"a")[1:],  # TEST
        b"\x01\0\0\2a",  # a pattern of another length than the list's
        b"\x01\0\0\0a",
    ):
        assert initiator.code(*sanitize(OVERWRITE, data)) == "05/24/00"
    assert initiator.code("48 01 00 00 00 00 00 00 06 00", pattern(b"a")) == "05/1a/00"
    assert initiator.code("48 03 00 00 00 00 00 00 00 00") == "05/24/00"  # CRYPTOGRAPHIC ERASE
    assert initiator.code("48 02 00 00 00 00 00 00 01 00", b"a") == "05/24/00"
    assert content(initiator) == before


@pytest.mark.parametrize("cdb", ["48 02 00 00 00 00 00 00 00 00", "04 00 00 00 00 00"])
def test_zeros_are_left(initiator: UnitInitiator, block_size: int, cdb: str) -> None:
    initiator.good(cdb)
    assert content(initiator) == bytes(BLOCKS * block_size)


@pytest.mark.parametrize(
    ("cdb", "data"),
    [
        ("04 10 00 00 00 00", "00 00 00 00"),
        ("04 30 00 00 00 00", "00 00 00 00 00 00 00 00"),
        ("04 18 00 00 00 00", "00 80 00 00"),
    ],
)
def test_format_with_a_list(initiator: UnitInitiator, block_size: int, cdb: str, data: str) -> None:
    initiator.good(cdb, data)
    assert content(initiator) == bytes(BLOCKS * block_size)


@pytest.mark.parametrize(
    ("cdb", "data", "code"),
    [
        ("04 10 00 00 00 00", "00 00 00", "05/1a/00"),
        ("04 30 00 00 00 00", "00 00 00 00", "05/1a/00"),
        ("04 10 00 00 00 00", "00 08 00 00", "05/26/00"),  # an initialization pattern
        ("04 10 00 00 00 00", "00 00 00 08", "05/26/00"),  # a defect list
        ("04 10 00 00 00 00", "01 00 00 00", "05/26/00"),  # protection information
        ("04 80 00 00 00 00", "", "05/24/00"),
    ],
)
def test_what_format_refuses(initiator: UnitInitiator, cdb: str, data: str, code: str) -> None:
    before = content(initiator)
    assert initiator.code(cdb, data) == code
    assert content(initiator) == before


# ---- in the background -------------------------------------------------------------------------


def test_progress(make_disk: MakeDisk, background: ManualBackground) -> None:
    initiator = make_disk(RamStore(4 << 20))
    initiator.good(*sanitize(OVERWRITE, pattern(b"a", passes=2), IMMED))
    seen = [0]
    while background.step():
        sense = Sense.parse(initiator.good("03 01 00 00 ff 00"))
        assert sense is not None
        assert (sense.key, sense.asc, sense.ascq) == (0x02, 0x04, 0x1B)
        assert sense.specific[0] == 0x80
        seen.append(int.from_bytes(sense.specific[1:], "big"))
        stop = "1b 00 00 00 00 00"
        for cdb in (TEST_UNIT_READY, "28" + "00" * 9, "48 02" + "00" * 8, "04" + "00" * 5, stop):
            assert initiator.code(cdb) == "02/04/1b"
        initiator.good("12 00 00 00 24 00")
        assert isinstance(initiator.unit, Disk)
        assert initiator.unit.direct_access(initiator.nexus) == (False, False)
    assert seen == [0, 0x2000, 0x4000, 0x6000, 0x8000, 0xA000, 0xC000, 0xE000, 0xFFFF]
    initiator.good(TEST_UNIT_READY)
    assert initiator.good(BlockRange(0, 8192).cdb(0x28)) == b"a" * (4 << 20)


def test_a_format_in_the_background(
    initiator: UnitInitiator, background: ManualBackground, block_size: int
) -> None:
    initiator.good("04 10 00 00 00 00", "00 02 00 00")
    assert initiator.code(TEST_UNIT_READY) == "02/04/04"
    while background.step():
        pass
    assert content(initiator) == bytes(BLOCKS * block_size)


def test_a_thread_carries_it_out(block_size: int) -> None:
    disk = Disk(RamStore(BLOCKS * block_size, block_size), Identity.of("disk"))
    initiator = UnitInitiator(disk)
    initiator.good(*sanitize(OVERWRITE, pattern(b"a"), IMMED))
    assert isinstance(disk.background, BackgroundThread)
    assert disk.background._thread is not None
    disk.background._thread.join()
    assert content(initiator) == b"a" * BLOCKS * block_size
    disk.close()


def test_closing_ends_it(background: ManualBackground, make_disk: MakeDisk) -> None:
    initiator = make_disk(RamStore(4 << 20))
    initiator.good(*sanitize(BLOCK_ERASE, b"", IMMED))
    initiator.unit.close()
    assert not background.step()


# ---- failures ----------------------------------------------------------------------------------


def failing(after: int) -> ErrorFilter:
    return ErrorFilter(
        RamStore(4 << 20),
        seed=1,
        operations=[StoreOperation.WRITE],
        after=after,
        error=errno.EIO,
    )


def test_a_failed_sanitize(make_disk: MakeDisk, background: ManualBackground) -> None:
    initiator = make_disk(failing(after=2))
    initiator.good(*sanitize(OVERWRITE, pattern(b"a"), IMMED))
    while background.step():
        pass
    for cdb in (TEST_UNIT_READY, "28" + "00" * 9):
        assert initiator.code(cdb) == "03/31/03"
    assert initiator.code(*sanitize(EXIT_FAILURE_MODE)) == "05/24/00"
    assert initiator.code(*sanitize(OVERWRITE, pattern(b"a"), AUSE)) == "03/31/03"
    initiator.good(*sanitize(EXIT_FAILURE_MODE))
    initiator.good(TEST_UNIT_READY)
    initiator.good(*sanitize(EXIT_FAILURE_MODE))


def test_a_failed_format(make_disk: MakeDisk) -> None:
    store = ErrorFilter(RamStore(4 << 20), seed=1, operations=[StoreOperation.DISCARD])
    initiator = make_disk(store)
    assert initiator.code("04 00 00 00 00 00") == "03/31/01"
    assert initiator.code(TEST_UNIT_READY) == "03/31/01"
    initiator.good(*sanitize(EXIT_FAILURE_MODE))
    assert initiator.code(TEST_UNIT_READY) == "03/31/01"
    initiator.good(*sanitize(OVERWRITE, pattern(b"a")))
    initiator.good(TEST_UNIT_READY)


@pytest.mark.parametrize("cdb", ["48 02 00 00 00 00 00 00 00 00", "04 00 00 00 00 00"])
def test_the_space_of_a_file_is_given_back(make_disk: MakeDisk, tmp_path: Path, cdb: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"a" * (1 << 20))
    initiator = make_disk(FileStore(path, threads=0))
    initiator.good(cdb)
    assert path.stat().st_blocks == 0
    assert path.stat().st_size == 1 << 20
