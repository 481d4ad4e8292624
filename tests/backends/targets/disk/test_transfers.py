"""READ, WRITE, VERIFY, SYNCHRONIZE CACHE and PRE-FETCH: their ranges, lengths and flags."""

from __future__ import annotations

import pytest

from pvdrivers.backends.stores.store import RamStore, StoreOperation
from pvdrivers.backends.targets.disk.block_unit import Limits
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.result import Status
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .conftest import BLOCKS, MakeDisk

READS = {6: 0x08, 10: 0x28, 12: 0xA8, 16: 0x88}
WRITES = {6: 0x0A, 10: 0x2A, 12: 0xAA, 16: 0x8A}
VERIFIES = {10: 0x2F, 12: 0xAF, 16: 0x8F}
WRITES_AND_VERIFIES = {10: 0x2E, 12: 0xAE, 16: 0x8E}
SYNCHRONIZES = {10: 0x35, 16: 0x91}
PRE_FETCHES = {10: 0x34, 16: 0x90}
ALL = [
    *READS.values(),
    *WRITES.values(),
    *VERIFIES.values(),
    *WRITES_AND_VERIFIES.values(),
    *SYNCHRONIZES.values(),
    *PRE_FETCHES.values(),
]
DPO, FUA = 0x10, 0x08
COMPARE_ALL, RESERVED, COMPARE_ONE = 0x02, 0x04, 0x06


def pattern(block_size: int, blocks: int, first: int = 1) -> bytes:
    return b"".join(bytes([(first + i) % 256]) * block_size for i in range(blocks))


@pytest.mark.parametrize("length", [6, 10, 12, 16])
def test_what_was_written_is_read(initiator: UnitInitiator, block_size: int, length: int) -> None:
    data = pattern(block_size, 3)
    initiator.good(BlockRange(7, 3).cdb(WRITES[length]), data)
    for read in READS.values():
        assert initiator.good(BlockRange(6, 5).cdb(read)) == bytes(block_size) + data + bytes(
            block_size
        )


def test_in_6_bytes_0_blocks_are_256(initiator: UnitInitiator, block_size: int) -> None:
    data = pattern(block_size, 256)
    initiator.good("0a 00 00 00 00 00", data)
    assert initiator.good("08 00 00 00 00 00") == data


@pytest.mark.parametrize("opcode", [*READS.values(), *WRITES.values()][1:4])
def test_otherwise_0_blocks_are_none(initiator: UnitInitiator, opcode: int) -> None:
    assert initiator.good(BlockRange(0, 0).cdb(opcode)) == b""
    assert initiator.good(BlockRange(BLOCKS, 0).cdb(opcode)) == b""
    assert initiator.code(BlockRange(BLOCKS + 1, 0).cdb(opcode)) == "05/21/00"


@pytest.mark.parametrize("opcode", ALL)
def test_ranges_that_are_not_all_on_the_disk(
    initiator: UnitInitiator, block_size: int, opcode: int
) -> None:
    largest = (1 << 21) - 1 if opcode >> 5 == 0 else (1 << 32) - 1
    for wrong in (BlockRange(BLOCKS - 1, 2), BlockRange(BLOCKS, 1), BlockRange(largest, 1)):
        assert initiator.code(wrong.cdb(opcode), bytes(2 * block_size)) == "05/21/00"
    if opcode >> 5 == 4:
        assert initiator.code(BlockRange((1 << 64) - 1, 2).cdb(opcode)) == "05/21/00"


@pytest.mark.parametrize("opcode", [*WRITES.values(), *WRITES_AND_VERIFIES.values()])
def test_less_data_than_the_cdb_says(
    initiator: UnitInitiator, block_size: int, opcode: int
) -> None:
    cdb = BlockRange(0, 2).cdb(opcode)
    assert initiator.code(cdb, b"\1" * (2 * block_size - 1)) == "05/24/00"
    assert initiator.good(BlockRange(0, 2).cdb(0x28)) == bytes(2 * block_size)


@pytest.mark.parametrize("opcode", [*WRITES.values(), *WRITES_AND_VERIFIES.values(), 0x8B])
def test_data_beyond_what_the_cdb_says_are_unused(
    initiator: UnitInitiator, block_size: int, opcode: int
) -> None:
    answer = initiator.run(BlockRange(0, 1).cdb(opcode), b"\1" * (block_size + 7))
    assert (answer.status, answer.unused) == (Status.GOOD, 7)
    assert initiator.good(BlockRange(0, 2).cdb(0x28)) == b"\1" * block_size + bytes(block_size)


@pytest.mark.parametrize("opcode", [opcode for opcode in ALL if opcode >> 5])
def test_any_group_number(initiator: UnitInitiator, opcode: int) -> None:
    cdb = bytearray(BlockRange(0, 0).cdb(opcode))
    cdb[{1: 6, 5: 10, 4: 14}[opcode >> 5]] = 0x1F
    assert initiator.run(bytes(cdb)).status in (Status.GOOD, Status.CONDITION_MET)


@pytest.mark.parametrize("opcode", [0x28, 0x2A, 0xA8, 0xAA, 0x88, 0x8A])
def test_protection_information_and_reserved_bits(initiator: UnitInitiator, opcode: int) -> None:
    for bit in (0x20, 0x40, 0x80, 0x04, 0x02, 0x01):
        assert initiator.code(BlockRange(0, 0).cdb(opcode, bit)) == "05/24/00"
    initiator.good(BlockRange(0, 0).cdb(opcode, DPO | FUA))


def test_the_transfer_length_has_a_limit(make_disk: MakeDisk, block_size: int) -> None:
    limits = Limits(transfer=8, write_same=8)
    initiator = make_disk(RamStore(BLOCKS * block_size, block_size), limits=limits)
    for opcode in (*READS.values(), *WRITES.values(), *WRITES_AND_VERIFIES.values(), 0x8B):
        initiator.good(BlockRange(0, 8).cdb(opcode), bytes(8 * block_size))
        code = initiator.code(BlockRange(0, 9).cdb(opcode), bytes(9 * block_size))
        assert code == "05/24/00"
    for opcode in VERIFIES.values():
        initiator.good(BlockRange(0, 9).cdb(opcode))
        data = bytes(9 * block_size)
        assert initiator.code(BlockRange(0, 9).cdb(opcode, COMPARE_ALL), data) == "05/24/00"
    initiator.good(BlockRange(0, 9).cdb(0x35))


class CountingStore(RamStore):
    flushes = 0

    def flush(self) -> None:
        self.flushes += 1
        super().flush()


@pytest.mark.parametrize(("opcode", "flags"), [(0x28, FUA), (0x2A, FUA), (0x2E, 0), (0x35, 0)])
def test_commands_that_flush(make_disk: MakeDisk, opcode: int, flags: int) -> None:
    store = CountingStore(BLOCKS * 512)
    initiator = make_disk(store)
    initiator.good(BlockRange(0, 1).cdb(0x2A), bytes(512))
    initiator.good(BlockRange(0, 1).cdb(0x28))
    assert store.flushes == 0
    initiator.good(BlockRange(0, 1).cdb(opcode, flags), bytes(512))
    assert store.flushes == 1


# ---- VERIFY ------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", VERIFIES.values())
def test_verify(initiator: UnitInitiator, block_size: int, opcode: int) -> None:
    data = pattern(block_size, 4)
    initiator.good(BlockRange(8, 4).cdb(0x2A), data)
    initiator.good(BlockRange(0, 20).cdb(opcode))
    initiator.good(BlockRange(8, 4).cdb(opcode, COMPARE_ALL), data)
    wrong = data[:-1] + b"\xff"
    assert initiator.code(BlockRange(8, 4).cdb(opcode, COMPARE_ALL), wrong) == "0e/1d/00"
    assert initiator.code(BlockRange(8, 4).cdb(opcode, COMPARE_ALL), data[:-1]) == "05/24/00"
    one = data[:block_size]
    initiator.good(BlockRange(8, 1).cdb(opcode, COMPARE_ONE), one)
    assert initiator.code(BlockRange(8, 2).cdb(opcode, COMPARE_ONE), one) == "0e/1d/00"
    initiator.good(BlockRange(20, 10).cdb(opcode, COMPARE_ONE), bytes(block_size))
    assert initiator.code(BlockRange(8, 1).cdb(opcode, RESERVED), one) == "05/24/00"
    initiator.good(BlockRange(8, 0).cdb(opcode, COMPARE_ALL))


def test_verify_compares_across_chunks(make_disk: MakeDisk) -> None:
    """A comparison of more than a chunk of 1 MiB."""
    blocks = 2 * 2048 + 10
    initiator = make_disk(RamStore((blocks + 5) * 512))
    data = pattern(512, blocks)
    initiator.good(BlockRange(5, blocks).cdb(0x8A), data)
    initiator.good(BlockRange(5, blocks).cdb(0x8F, COMPARE_ALL), data)
    wrong = data[:-512] + bytes(512)
    assert initiator.code(BlockRange(5, blocks).cdb(0x8F, COMPARE_ALL), wrong) == "0e/1d/00"


@pytest.mark.parametrize("opcode", WRITES_AND_VERIFIES.values())
def test_write_and_verify(initiator: UnitInitiator, block_size: int, opcode: int) -> None:
    for flags in (0, COMPARE_ALL):
        data = pattern(block_size, 2, flags + 1)
        initiator.good(BlockRange(3, 2).cdb(opcode, flags), data)
        assert initiator.good(BlockRange(3, 2).cdb(0x28)) == data
    for flags in (RESERVED, COMPARE_ONE):
        assert initiator.code(BlockRange(3, 2).cdb(opcode, flags), data) == "05/24/00"


class ForgetfulStore(RamStore):
    """Writes go nowhere."""

    def _transfer(self, operation: StoreOperation, *arguments: object) -> None:  # type: ignore[override]
        if operation != StoreOperation.WRITE:
            super()._transfer(operation, *arguments)  # type: ignore[arg-type]


def test_write_and_verify_finds_what_was_not_written(make_disk: MakeDisk) -> None:
    initiator = make_disk(ForgetfulStore(BLOCKS * 512))
    assert initiator.code(BlockRange(3, 1).cdb(0x2E), b"\1" * 512) == "0e/1d/00"


# ---- caches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", SYNCHRONIZES.values())
def test_synchronize_cache(initiator: UnitInitiator, opcode: int) -> None:
    for flags in (0, 0x02):
        for wanted in (BlockRange(0, 0), BlockRange(5, 7), BlockRange(BLOCKS, 0)):
            initiator.good(wanted.cdb(opcode, flags))


@pytest.mark.parametrize("opcode", PRE_FETCHES.values())
def test_pre_fetch(initiator: UnitInitiator, opcode: int) -> None:
    for wanted in (BlockRange(0, 0), BlockRange(5, 7), BlockRange(BLOCKS - 1, 1)):
        for flags in (0, 0x02):
            assert initiator.run(wanted.cdb(opcode, flags)).status == Status.CONDITION_MET


def test_with_wce_0_writes_are_flushed(make_disk: MakeDisk) -> None:
    store = CountingStore(BLOCKS * 512)
    initiator = make_disk(store)
    page = initiator.good("1a 08 08 00 ff 00")
    assert page[6] & 0x04
    changed = bytes((0, 0, 0, 0)) + page[4:6] + bytes((page[6] & ~0x04,)) + page[7:]
    assert isinstance(initiator.unit, Disk)
    assert initiator.unit.direct_access(initiator.nexus) == (True, True)
    initiator.good(bytes((0x15, 0x10, 0, 0, len(changed), 0)), changed)
    assert initiator.unit.direct_access(initiator.nexus) == (True, False)
    initiator.good(BlockRange(0, 1).cdb(0x2A), bytes(512))
    assert store.flushes == 1
    initiator.good(BlockRange(0, 0).cdb(0x2A))
    assert store.flushes == 1
