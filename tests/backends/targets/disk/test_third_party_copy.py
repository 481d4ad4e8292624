"""EXTENDED COPY within a disk and between disks, against the same moves of bytes."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.targets.command import Command, Nexus
from pvdrivers.backends.targets.disk.copy_list import MAX_SEGMENTS, MAX_TARGETS
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.journal import Journal, journal_size
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.ring.abi import SECTOR
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.result import Status
from pvdrivers.testing.scsi.persistent_reserve import Out, reserve_out
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

BLOCKS = 64
SEGMENT = tuple[int, int, int, int, int]  # source, destination, blocks, their LBAs


class Pair:
    """Two disks of one service."""

    def __init__(self, stores: Sequence[RamStore] = ()) -> None:
        self.stores = list(stores) or [RamStore(BLOCKS * SECTOR) for _ in range(2)]
        for number, store in enumerate(self.stores):
            store.write(0, b"".join(bytes([number << 7 | i]) * SECTOR for i in range(BLOCKS)))
        self.start()

    def start(self) -> None:
        self.disks = [Disk(store, Identity.of(str(i))) for i, store in enumerate(self.stores)]
        by_naa = {disk.identity.naa: disk for disk in self.disks}
        for disk in self.disks:
            disk.find_copy_target = lambda _, naa: by_naa.get(naa)
        self.initiators = [UnitInitiator(disk) for disk in self.disks]

    def targets(self) -> list[bytes]:
        return [target(disk) for disk in self.disks]

    def content(self, number: int) -> bytes:
        return self.stores[number].read(0, BLOCKS)


@pytest.fixture
def pair() -> Iterator[Pair]:
    one = Pair()
    yield one
    for disk in one.disks:
        disk.close()


def target(disk: Disk, *, kind: int = 0xE4, flags: int = 0, size: int = SECTOR) -> bytes:
    naa = disk.identity.naa.to_bytes(8, "big")
    return struct.pack(">BBHBBxB", kind, flags, 0, 1, 3, 8) + naa + struct.pack(">12xxBH", 0, size)


def segment(*numbers: int, kind: int = 2, length: int = 0x18) -> bytes:
    return struct.pack(">BBHHHxxHQQ", kind, 0, length, *numbers)


def copy_cdb(data: bytes) -> bytes:
    return struct.pack(">BB8xIxx", 0x83, 0, len(data))


def copy_list(
    targets: Sequence[bytes], segments: Sequence[bytes], *, identifier: int = 1, usage: int = 0
) -> bytes:
    one, two = b"".join(targets), b"".join(segments)
    return struct.pack(">BBH4xII", identifier, usage << 3, len(one), len(two), 0) + one + two


def code(initiator: UnitInitiator, data: bytes) -> str:
    return initiator.code(copy_cdb(data), data)


def copy_status(initiator: UnitInitiator, identifier: int = 1) -> tuple[int, int]:
    """Status and segments that are done."""
    data = initiator.good(struct.pack(">BBB7xIxx", 0x84, 0, identifier, 64))
    assert len(data) == 12
    return data[4], int.from_bytes(data[5:7], "big")


SEGMENTS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 40), *[st.integers(0, 23)] * 2),
    max_size=5,
)


@settings(deadline=None)
@given(segments=SEGMENTS)
def test_segments_are_moved_one_after_the_other(segments: list[SEGMENT]) -> None:
    pair = Pair()
    expected = [bytearray(pair.content(i)) for i in range(2)]
    for source, destination, count, start, to in segments:
        moved = bytes(expected[source][start * SECTOR : (start + count) * SECTOR])
        expected[destination][to * SECTOR : (to + count) * SECTOR] = moved
    data = copy_list(pair.targets(), [segment(*one) for one in segments])
    pair.initiators[0].good(copy_cdb(data), data)
    assert [pair.content(i) for i in range(2)] == expected
    assert copy_status(pair.initiators[0]) == (1, len(segments))


class Killed(BaseException):
    pass


class MortalStore(RamStore):
    left = -1  # writes until the process is killed

    def write(self, sector: int, data: bytes | memoryview) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1
        super().write(sector, data)


@pytest.mark.parametrize("offset", [-3, 3])
def test_an_overlapping_copy_is_finished_by_the_successor(offset: int) -> None:
    """What has been copied lies over what it was copied from, so it cannot begin again."""
    for left in range(4):
        pair = Pair([MortalStore(BLOCKS * SECTOR), MortalStore(BLOCKS * SECTOR)])
        expected = bytearray(pair.content(0))
        start, to, count = 10, 10 + offset, 12
        moved = expected[start * SECTOR : (start + count) * SECTOR]
        expected[to * SECTOR : (to + count) * SECTOR] = moved
        memory = bytearray(journal_size(Disk.journal_room))
        pair.disks[0].take_up(Journal(memory, Disk.journal_room))
        first = segment(1, 1, 1, 0, 1)
        data = copy_list(pair.targets(), [first, segment(0, 0, count, start, to)])
        command = Command(Nexus("one"), copy_cdb(data), data, 0, b"i" * 16)
        pair.stores[0].left = left  # type: ignore[attr-defined]
        with pytest.raises(Killed):
            pair.disks[0].execute(command)
        pair.stores[0].left = -1  # type: ignore[attr-defined]
        pair.start()
        pair.initiators[1].good(BlockRange(0, 1).cdb(0x2A), bytes(SECTOR))  # meanwhile
        pair.disks[0].take_up(Journal(memory, Disk.journal_room))
        assert pair.disks[0].execute(command).status == Status.GOOD
        assert pair.content(0) == expected
        assert pair.content(1)[SECTOR] == 0x80  # the segment before is not copied again


def test_two_copies_in_opposite_directions_do_not_wait_for_each_other(pair: Pair) -> None:
    ends = []
    for number in range(2):
        data = copy_list(pair.targets(), [segment(number, 1 - number, 8, 0, 32)] * 64)
        thread = threading.Thread(
            target=pair.initiators[number].good, args=(copy_cdb(data), data), daemon=True
        )
        thread.start()
        ends.append(thread)
    for thread in ends:
        thread.join(60)
        assert not thread.is_alive()


# ---- refused -------------------------------------------------------------------------------------


def test_lists_that_are_refused(pair: Pair) -> None:
    one, moves = pair.initiators[0], [segment(0, 1, 1, 0, 0)]
    here = target(pair.disks[0])
    whole = copy_list([here], moves)
    before = pair.content(1)
    assert code(one, whole[:15]) == "05/1a/00"
    assert code(one, whole[:-1]) == "05/1a/00"
    assert code(one, copy_list([here], moves, usage=1)) == "05/26/00"
    assert code(one, copy_list([here], moves, usage=3)) == "05/26/00"  # and an identifier
    assert code(one, copy_list([here[:-1]], moves)) == "05/26/00"
    assert code(one, copy_list([here] * (MAX_TARGETS + 1), moves)) == "05/26/06"
    assert code(one, copy_list([target(pair.disks[0], kind=0xE0)], moves)) == "05/26/07"
    assert code(one, copy_list([here], moves * (MAX_SEGMENTS + 1))) == "05/26/08"
    assert code(one, copy_list([here], [segment(0, 0, 1, 0, 0, kind=3)])) == "05/26/09"
    assert code(one, copy_list([here], [segment(0, 0, 1, 0, 0, length=20)])) == "05/26/00"
    assert code(one, whole[:12] + b"\0\0\0\1" + whole[16:]) == "05/26/0b"
    assert pair.content(1) == before
    assert one.good(copy_cdb(b"")) == b""


def test_targets_that_are_not_there(pair: Pair) -> None:
    one, moves = pair.initiators[0], [segment(0, 1, 1, 0, 0)]
    here, there = pair.targets()
    stranger = Disk(RamStore(SECTOR), Identity.of("stranger"))
    assert code(one, copy_list([here, target(stranger)], moves)) == "0a/0d/02"
    assert code(one, copy_list([here, target(pair.disks[1], flags=1)], moves)) == "0a/0d/03"
    assert code(one, copy_list([here, target(pair.disks[1], size=4096)], moves)) == "0a/26/00"
    assert code(one, copy_list([here, target(pair.disks[1], flags=0x20)], moves)) == "0a/08/04"
    assert code(one, copy_list([here], moves)) == "0a/08/04"
    pair.disks[1].joins_copies = False
    assert code(one, copy_list([here, there], moves)) == "0a/0d/02"
    assert code(pair.initiators[1], copy_list([here, there], moves)) == "0a/0d/02"
    pair.disks[1].joins_copies = True
    pair.disks[0].find_copy_target = None
    assert code(one, copy_list([here, there], moves)) == "0a/0d/02"


def test_a_disk_that_is_closed_meanwhile(pair: Pair) -> None:
    """Whoever unplugs a LUN does not wait for the copies that other LUNs make of it."""
    data = copy_list(pair.targets(), [segment(0, 1, 1, 0, 0)])
    pair.disks[1].close()
    assert code(pair.initiators[0], data) == "0a/0d/02"


def test_a_copy_stops_where_it_fails_and_says_where(pair: Pair) -> None:
    one = pair.initiators[0]
    beyond = segment(0, 1, 2, BLOCKS - 1, 0)
    data = copy_list(pair.targets(), [segment(0, 1, 1, 5, 0), beyond, segment(0, 1, 1, 6, 1)])
    sense = one.sense(copy_cdb(data), data)
    assert (sense.key, sense.command_information) == (0x0A, 1)
    assert pair.content(1)[: 2 * SECTOR] == b"\x05" * SECTOR + b"\x81" * SECTOR
    assert copy_status(one) == (2, 1)
    details = "84 04 01" + "00" * 7 + "00 00 01 00 00 00"
    found = one.good(details)
    assert int.from_bytes(found[:4], "big") == len(found) - 4
    assert found[56] == Status.CHECK_CONDITION
    assert found[60:] == one.run(copy_cdb(data), data).sense
    one.good(details)
    assert one.code(details) == "05/24/00"  # discarded


def test_another_disks_reservation_holds_for_copies(pair: Pair) -> None:
    one, owner = pair.initiators[0], UnitInitiator(pair.disks[1], "owner")
    reserve_out(owner, Out.REGISTER, 0, 1)
    reserve_out(owner, Out.RESERVE, 1, 0, 1)  # write exclusive
    assert code(one, copy_list(pair.targets(), [segment(0, 1, 1, 0, 0)])) == "0a/0d/01"
    data = copy_list(pair.targets(), [segment(1, 0, 1, 0, 0)])
    one.good(copy_cdb(data), data)


# ---- what it tells -------------------------------------------------------------------------------


def test_results_are_an_initiators_own(pair: Pair) -> None:
    one, other = pair.initiators[0], UnitInitiator(pair.disks[0], "other")
    data = copy_list(pair.targets(), [], usage=3, identifier=0)
    one.good(copy_cdb(data), data)
    status = "84 00 00" + "00" * 7 + "00 00 00 40 00 00"
    assert one.code(status) == "05/24/00"  # not asked to keep any
    data = copy_list(pair.targets(), [], identifier=0)
    one.good(copy_cdb(data), data)
    one.good(status)
    assert other.code(status) == "05/24/00"
    pair.disks[0].detach(one.nexus)
    pair.disks[0].attach(one.nexus)
    assert one.code(status) == "05/24/00"


def test_limits_are_told_twice_alike(pair: Pair) -> None:
    one = pair.initiators[0]
    data = one.good("84 03" + "00" * 8 + "00 00 01 00 00 00")
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert data[8:12] == struct.pack(">HH", MAX_TARGETS, MAX_SEGMENTS)
    assert data[43:] == b"\x02\x02\xe4"
    page = one.good("12 01 8f 01 00 00")
    found, rest = {}, page[4:]
    while rest:
        kind, size = struct.unpack_from(">HH", rest)
        assert size % 4 == 0
        found[kind], rest = rest[4 : 4 + size], rest[4 + size :]
    assert found[0x0001].startswith(b"\x0b\x83\x03\x00\x10\x11\x84\x04\x00\x03\x04\x07")
    assert found[0x0004][4:12] == data[8:16]
    assert found[0x0008].startswith(b"\x02\x02\xe4")
    assert one.good("12 00 00 00 24 00")[5] & 0x08  # 3PC


def test_blocks_of_other_sizes_are_not_copied() -> None:
    pair = Pair()
    pair.stores[1] = RamStore(BLOCKS * 4096, 4096)
    pair.start()
    targets = [target(pair.disks[0]), target(pair.disks[1], size=4096)]
    assert code(pair.initiators[0], copy_list(targets, [segment(0, 1, 1, 0, 0)])) == "0a/26/0c"
    assert pair.initiators[1].good(BlockRange(0, 1).cdb(0x28)) == bytes(4096)
