"""UNMAP, WRITE SAME and GET LBA STATUS, on stores that can and cannot discard."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest

from pvdrivers.backends.stores.filters import ErrorFilter
from pvdrivers.backends.stores.python_store import PythonStore, StoreBatch
from pvdrivers.backends.stores.store import FileStore, RamStore, StoreOperation
from pvdrivers.backends.targets.disk.block_unit import Limits
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .conftest import BLOCKS, MakeDisk

UNMAP, NDOB, ANCHOR = 0x08, 0x01, 0x10


def unmap(*ranges: tuple[int, int]) -> tuple[bytes, bytes]:
    data = struct.pack(">HH4x", 6 + 16 * len(ranges), 16 * len(ranges))
    data += b"".join(struct.pack(">QIxxxx", *one) for one in ranges)
    return b"\x42" + bytes(6) + struct.pack(">Hx", len(data)), data


def fill(initiator: UnitInitiator, block_size: int) -> None:
    initiator.good(BlockRange(0, BLOCKS).cdb(0x2A), b"\xaa" * BLOCKS * block_size)


def zeroed(initiator: UnitInitiator, block_size: int) -> set[int]:
    """The blocks that read as zeros; all others are as `fill` left them."""
    data = initiator.good(BlockRange(0, BLOCKS).cdb(0x28))
    blocks = [data[lba * block_size : (lba + 1) * block_size] for lba in range(BLOCKS)]
    assert {*blocks} <= {bytes(block_size), b"\xaa" * block_size}
    return {lba for lba in range(BLOCKS) if blocks[lba] == bytes(block_size)}


# ---- UNMAP -------------------------------------------------------------------------------------


def test_what_was_unmapped_reads_as_zeros(initiator: UnitInitiator, block_size: int) -> None:
    fill(initiator, block_size)
    initiator.good(*unmap((3, 2), (100, 0), (BLOCKS - 1, 1), (4, 3), (BLOCKS, 0)))
    assert zeroed(initiator, block_size) == {3, 4, 5, 6, BLOCKS - 1}


def test_nothing_is_unmapped_when_one_range_is_wrong(
    initiator: UnitInitiator, block_size: int
) -> None:
    fill(initiator, block_size)
    for wrong in ((BLOCKS, 1), (BLOCKS - 1, 2), ((1 << 64) - 1, 1), (0, 0xFFFFFFFF)):
        assert initiator.code(*unmap((0, 1), wrong)) in ("05/21/00", "05/26/00")
    assert zeroed(initiator, block_size) == set()


@pytest.mark.parametrize("length", [1, 7])
def test_less_than_a_header(initiator: UnitInitiator, length: int) -> None:
    cdb = b"\x42" + bytes(6) + struct.pack(">Hx", length)
    assert initiator.code(cdb, bytes(length)) == "05/1a/00"


def test_lengths_of_an_unmap_list(initiator: UnitInitiator, block_size: int) -> None:
    fill(initiator, block_size)
    cdb, data = unmap((0, 1), (1, 1))
    assert initiator.code(cdb, data[:-1]) == "05/1a/00"  # less has come than the CDB says
    for length in range(8, len(data)):  # the descriptors' length goes beyond the list
        assert initiator.code(b"\x42" + bytes(6) + struct.pack(">Hx", length), data) == "05/1a/00"
    initiator.good("42 00 00 00 00 00 00 00 00 00")
    initiator.good("42 00 00 00 00 00 00 00 08 00", bytes(8))
    assert zeroed(initiator, block_size) == set()
    cut = data[:2] + struct.pack(">H", 31) + data[4:]  # one descriptor and a part of another
    initiator.good(cdb, cut)
    assert zeroed(initiator, block_size) == {0}


def test_unmap_has_limits(make_disk: MakeDisk) -> None:
    limits = Limits(transfer=8, write_same=8, unmap=10, unmap_descriptors=2)
    initiator = make_disk(RamStore(BLOCKS * 512), limits=limits)
    initiator.good(*unmap((0, 5), (20, 5)))
    assert initiator.code(*unmap((0, 5), (20, 6))) == "05/26/00"
    assert initiator.code(*unmap((0, 1), (1, 1), (2, 1))) == "05/26/00"


def test_an_anchor_is_refused(initiator: UnitInitiator, block_size: int) -> None:
    cdb, data = unmap((0, 1))
    assert initiator.code(b"\x42\x01" + cdb[2:], data) == "05/24/00"
    for opcode in (0x41, 0x93):
        cdb = BlockRange(0, 1).cdb(opcode, UNMAP | ANCHOR)
        assert initiator.code(cdb, bytes(block_size)) == "05/24/00"


# ---- WRITE SAME --------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [0, UNMAP])
@pytest.mark.parametrize("opcode", [0x41, 0x93])
@pytest.mark.parametrize("byte", [0, 0x55])
def test_write_same(
    initiator: UnitInitiator, block_size: int, opcode: int, flags: int, byte: int
) -> None:
    """Whether or not blocks are unmapped, they read as what was sent."""
    fill(initiator, block_size)
    block = bytes([byte]) * block_size
    initiator.good(BlockRange(2, 3).cdb(opcode, flags), block)
    expected = b"\xaa" * block_size + block * 3 + b"\xaa" * block_size
    assert initiator.good(BlockRange(1, 5).cdb(0x28)) == expected


@pytest.mark.parametrize("flags", [NDOB, NDOB | UNMAP])
def test_write_same_without_data(initiator: UnitInitiator, block_size: int, flags: int) -> None:
    fill(initiator, block_size)
    initiator.good(BlockRange(2, 3).cdb(0x93, flags))
    assert zeroed(initiator, block_size) == {2, 3, 4}
    assert initiator.code(BlockRange(2, 3).cdb(0x41, NDOB), bytes(block_size)) == "05/24/00"


@pytest.mark.parametrize("opcode", [0x41, 0x93])
@pytest.mark.parametrize("flags", [0, UNMAP])
def test_write_same_of_0_blocks_goes_to_the_end(
    initiator: UnitInitiator, block_size: int, opcode: int, flags: int
) -> None:
    fill(initiator, block_size)
    initiator.good(BlockRange(BLOCKS, 0).cdb(opcode, flags), bytes(block_size))
    assert zeroed(initiator, block_size) == set()
    initiator.good(BlockRange(BLOCKS - 3, 0).cdb(opcode, flags), bytes(block_size))
    assert zeroed(initiator, block_size) == {BLOCKS - 3, BLOCKS - 2, BLOCKS - 1}


def test_write_same_of_more_than_a_chunk(make_disk: MakeDisk) -> None:
    blocks = 2 * 2048 + 3
    initiator = make_disk(RamStore((blocks + 2) * 512))
    initiator.good(BlockRange(1, blocks).cdb(0x93), b"\x55" * 512)
    data = initiator.good(BlockRange(0, blocks + 2).cdb(0x88))
    assert data == bytes(512) + b"\x55" * blocks * 512 + bytes(512)


def test_what_write_same_refuses(make_disk: MakeDisk, block_size: int) -> None:
    limits = Limits(transfer=8, write_same=100)
    initiator = make_disk(RamStore(BLOCKS * block_size, block_size), limits=limits)
    for opcode in (0x41, 0x93):
        initiator.good(BlockRange(0, 100).cdb(opcode), bytes(block_size))
        assert initiator.code(BlockRange(0, 101).cdb(opcode), bytes(block_size)) == "05/24/00"
        to_the_end = BlockRange(BLOCKS - 101, 0).cdb(opcode)
        assert initiator.code(to_the_end, bytes(block_size)) == "05/24/00"
        for size in (0, block_size - 1, block_size + 1, 2 * block_size):
            assert initiator.code(BlockRange(0, 1).cdb(opcode), bytes(size)) == "05/24/00"
        assert initiator.code(BlockRange(BLOCKS, 1).cdb(opcode), bytes(block_size)) == "05/21/00"


# ---- stores ------------------------------------------------------------------------------------


class ThickStore(PythonStore):
    def handle(self, batch: StoreBatch) -> None:
        batch.done()


def provisioning(initiator: UnitInitiator) -> tuple[int, bool]:
    """LBPME and LBPRZ, and whether there is page B2, which has to agree."""
    bits = initiator.good("9e 10" + "00" * 8 + "00 00 00 20 00 00")[14] >> 6
    has_page = 0xB2 in initiator.good("12 01 00 00 ff 00")[4:]
    if has_page:
        assert initiator.good("12 01 b2 00 ff 00")[5] & 0xE4 == 0xE0 | (bits & 1) << 2
    return bits, has_page


def test_a_store_that_cannot_discard(make_disk: MakeDisk) -> None:
    store = ThickStore(BLOCKS * 512, can_discard=False)
    initiator = make_disk(store)
    assert provisioning(initiator) == (0, False)
    assert initiator.code(*unmap((0, 1))) == "05/20/00"
    assert initiator.code("9e 12" + "00" * 8 + "00 00 00 20 00 00") == "05/24/00"
    assert initiator.code(BlockRange(0, 1).cdb(0x41, UNMAP), bytes(512)) == "05/24/00"


def test_lbprz_only_where_it_is_true(make_disk: MakeDisk) -> None:
    assert provisioning(make_disk(RamStore(BLOCKS * 512))) == (3, True)
    assert provisioning(make_disk(ThickStore(BLOCKS * 512))) == (2, True)
    filtered = ErrorFilter(RamStore(BLOCKS * 512), seed=1, probability=0)
    assert provisioning(make_disk(filtered)) == (3, True)


def test_a_device_that_cannot_discard_after_all(make_disk: MakeDisk) -> None:
    """UNMAP is a hint, WRITE SAME is not."""
    store = ErrorFilter(
        RamStore(BLOCKS * 512),
        seed=1,
        operations=[StoreOperation.DISCARD],
        error=errno.EOPNOTSUPP,
    )
    initiator = make_disk(store)
    fill(initiator, 512)
    initiator.good(*unmap((0, 1)))
    initiator.good(BlockRange(2, 3).cdb(0x41, UNMAP), bytes(512))
    assert zeroed(initiator, 512) == {2, 3, 4}


# ---- GET LBA STATUS ----------------------------------------------------------------------------


def lba_status(
    initiator: UnitInitiator, lba: int, room: int = 0x1000
) -> list[tuple[int, int, int]]:
    cdb = struct.pack(">BBQIxx", 0x9E, 0x12, lba, room)
    data = initiator.good(cdb)
    assert struct.unpack(">I", data[:4])[0] == len(data) - 4
    return list(struct.iter_unpack(">QIBxxx", data[8:]))


def test_a_store_that_cannot_tell_is_mapped(initiator: UnitInitiator) -> None:
    assert lba_status(initiator, 0) == [(0, BLOCKS, 0)]
    assert lba_status(initiator, 10) == [(10, BLOCKS - 10, 0)]
    cdb = struct.pack(">BBQIxx", 0x9E, 0x12, BLOCKS, 32)
    assert initiator.code(cdb) == "05/21/00"


@pytest.fixture
def thin(make_disk: MakeDisk, tmp_path: Path, block_size: int) -> UnitInitiator:
    path = tmp_path / "image"
    with path.open("wb") as image:
        image.truncate(1 << 20)
    return make_disk(FileStore(path, threads=0, sector_size=block_size))


def test_a_file_is_mapped_where_it_was_written(thin: UnitInitiator, block_size: int) -> None:
    per_64k = 65536 // block_size
    all_blocks = 16 * per_64k
    assert lba_status(thin, 0) == [(0, all_blocks, 1)]
    thin.good(BlockRange(4 * per_64k, per_64k).cdb(0x2A), b"\1" * 65536)
    expected = [
        (0, 4 * per_64k, 1),
        (4 * per_64k, per_64k, 0),
        (5 * per_64k, 11 * per_64k, 1),
    ]
    assert lba_status(thin, 0) == expected
    assert lba_status(thin, 0, room=24) == expected[:1]
    assert lba_status(thin, 0, room=40) == expected[:2]
    assert lba_status(thin, 5 * per_64k - 1) == [(5 * per_64k - 1, 1, 0), expected[2]]
    thin.good(*unmap((4 * per_64k, per_64k)))
    assert lba_status(thin, 0) == [(0, all_blocks, 1)]


def test_little_room(thin: UnitInitiator) -> None:
    whole = thin.good(struct.pack(">BBQIxx", 0x9E, 0x12, 0, 24))
    for room in range(24):
        assert thin.good(struct.pack(">BBQIxx", 0x9E, 0x12, 0, room)) == whole[:room]
