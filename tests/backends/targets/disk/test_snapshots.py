"""Snapshots: what they read as while their disk is written, copied to, and begun again."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pvdrivers.backends.stores.store import FileStore, RamStore
from pvdrivers.backends.targets.disk.snapshot import (
    CHUNK,
    Snapshot,
    make_snapshot_file,
    snapshot_size,
)
from pvdrivers.backends.targets.disk.snapshots import SnapshotDisk
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.journal import Journal, journal_size
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.ring.abi import SECTOR
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .test_third_party_copy import Killed, MortalStore, copy_cdb, copy_list, segment, target
from .test_token_copy import populate, refused, write

SIZE = 5 * CHUNK // 2  # the last chunk is a half
BLOCKS = SIZE // SECTOR
NUMBERS = (1, 2)


def control(number: int, *, drop: bool = False) -> str:
    return f"a4 1f {int(drop):02x} 00 00 00 {number:04x} 00 00 00 00"


class Array:
    """A disk, two snapshots of it, and the stores that outlast their processes."""

    def __init__(self, make_store: Callable[[int], RamStore] = RamStore) -> None:
        self.store = RamStore(SIZE)
        self.spaces = {number: make_store(snapshot_size(SIZE)) for number in NUMBERS}
        self.start()

    def start(self) -> None:
        self.disk = Disk(self.store, Identity.of("origin"))
        self.origin = UnitInitiator(self.disk)
        self.readers = {}
        for number, space in self.spaces.items():
            snapshot = self.disk.snapshots[number] = Snapshot(self.disk.medium, space)
            identity = Identity.of(f"snapshot {number}")
            self.readers[number] = UnitInitiator(SnapshotDisk(snapshot, identity))

    def read(self, number: int, lba: int = 0, count: int = BLOCKS) -> bytes:
        reader = self.readers[number]
        while reader.run("00" * 6).sense[2:3] == b"\x06":
            pass  # another snapshot
        return reader.good(BlockRange(lba, count).cdb(0x28))

    def report(self) -> dict[int, tuple[int, int]]:
        data = self.origin.good("a3 1f 00 00 00 00 00 00 01 00 00 00")
        assert int.from_bytes(data[:4], "big") == len(data) - 4
        found = struct.iter_unpack(">HB5xQ", data[4:])
        return {number: (flags, copied) for number, flags, copied in found}


@pytest.fixture
def array() -> Iterator[Array]:
    one = Array()
    yield one
    one.disk.close()


LBA = st.integers(0, BLOCKS - 1)


class Comparison(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.array = Array()
        self.now = bytearray(SIZE)
        self.then: dict[int, bytes] = {}

    def put(self, lba: int, data: bytes) -> None:
        self.now[lba * SECTOR : lba * SECTOR + len(data)] = data

    @rule(lba=LBA, count=st.integers(1, 200), byte=st.integers(1, 255))
    def write(self, lba: int, count: int, byte: int) -> None:
        data = bytes([byte]) * (min(count, BLOCKS - lba) * SECTOR)
        self.array.origin.good(BlockRange(lba, len(data) // SECTOR).cdb(0x2A), data)
        self.put(lba, data)

    @rule(lba=LBA, count=st.integers(1, 200))
    def unmap(self, lba: int, count: int) -> None:
        count = min(count, BLOCKS - lba)
        ranges = struct.pack(">HH4xQI4x", 22, 16, lba, count)
        self.array.origin.good("42 00 00 00 00 00 00 00 18 00", ranges)
        self.put(lba, bytes(count * SECTOR))

    @rule(number=st.sampled_from(NUMBERS))
    def take(self, number: int) -> None:
        self.array.origin.good(control(number))
        self.then[number] = bytes(self.now)

    @rule(number=st.sampled_from(NUMBERS))
    def drop(self, number: int) -> None:
        self.array.origin.good(control(number, drop=True))
        self.then.pop(number, None)

    @rule(number=st.sampled_from(NUMBERS), lba=LBA, count=st.integers(1, 200), to=LBA)
    def restore_a_part(self, number: int, lba: int, count: int, to: int) -> None:
        """By EXTENDED COPY, from the snapshot to the disk."""
        if number not in self.then:
            return
        snapshot = self.array.readers[number].unit
        assert isinstance(snapshot, SnapshotDisk)
        by_naa = {snapshot.identity.naa: snapshot}
        self.array.disk.find_copy_target = lambda _, naa: by_naa.get(naa)
        count = min(count, BLOCKS - lba, BLOCKS - to)
        targets = [target(self.array.disk), target(snapshot)]  # type: ignore[arg-type]
        data = copy_list(targets, [segment(1, 0, count, lba, to)])
        self.array.origin.good(copy_cdb(data), data)
        self.put(to, self.then[number][lba * SECTOR : (lba + count) * SECTOR])

    @rule()
    def kill(self) -> None:
        self.array.start()

    @invariant()
    def all_reads_are_as_expected(self) -> None:
        assert self.array.origin.good(BlockRange(0, BLOCKS).cdb(0x28)) == self.now
        for number in NUMBERS:
            if number in self.then:
                assert self.array.read(number) == self.then[number]
            else:
                assert self.array.readers[number].code("00" * 6)[:2] in ("02", "06")
        writes = self.array.disk.direct_access(self.array.origin.nexus)[1]
        assert writes == (not self.then)


Comparison.TestCase.settings = settings(deadline=None, stateful_step_count=25, max_examples=40)
test_snapshots = Comparison.TestCase


def test_a_snapshot_disk(array: Array) -> None:
    reader = array.readers[1]
    assert reader.code("00" * 6) == "02/3a/00"
    array.origin.good(control(1))
    assert reader.code("00" * 6) == "06/28/00"
    reader.good("00" * 6)
    assert reader.good("25" + "00" * 9) == array.origin.good("25" + "00" * 9)
    assert reader.code(BlockRange(0, 1).cdb(0x2A), bytes(SECTOR)) == "07/27/00"
    assert reader.good("1a 08 3f 00 ff 00")[2] & 0x80  # WP
    assert reader.unit.direct_access(reader.nexus) == (False, False)
    identity = "12 01 83 00 ff 00"
    assert reader.good(identity) != array.origin.good(identity)
    array.origin.good(control(1))
    assert reader.code("00" * 6) == "06/28/00"  # another one


def test_only_what_changes_is_copied(array: Array) -> None:
    array.origin.good(control(1))
    assert array.report() == {1: (1, 0), 2: (0, 0)}
    for _ in range(2):
        array.origin.good(BlockRange(3, 1).cdb(0x2A), bytes(SECTOR))
        assert array.report() == {1: (1, CHUNK), 2: (0, 0)}


def test_what_there_is_not(array: Array) -> None:
    assert array.origin.code(control(3)) == "05/24/00"
    assert array.origin.code("a4 1f 02 00 00 00 00 01 00 00 00 00") == "05/24/00"
    with pytest.raises(UsageError, match="too small for a snapshot"):
        Snapshot(array.disk.medium, RamStore(SIZE))


class FullStore(RamStore):
    is_full = False

    def write(self, sector: int, data: bytes | memoryview) -> None:
        if self.is_full and len(data) > SECTOR:
            raise OSError(errno.ENOSPC, "no space left")
        super().write(sector, data)


def test_a_snapshot_without_space_is_lost_and_the_disk_goes_on() -> None:
    array = Array(FullStore)
    array.origin.good(control(1))
    array.spaces[1].is_full = True  # type: ignore[attr-defined]
    array.origin.good(BlockRange(0, 1).cdb(0x2A), b"\1" * SECTOR)
    array.readers[1].run("00" * 6)
    assert array.readers[1].code("00" * 6) == "02/3e/01"
    assert array.report()[1] == (2, 0)
    assert array.disk.direct_access(array.origin.nexus) == (True, True)
    array.start()  # and it does not come back
    assert array.readers[1].code("00" * 6) == "02/3a/00"
    array.spaces[1].is_full = False  # type: ignore[attr-defined]
    array.origin.good(control(1))
    assert array.read(1, 0, 1) == b"\1" * SECTOR


def test_a_kill_at_any_write_leaves_the_snapshot_whole() -> None:
    """The command is not answered, so its initiator gives it to the successor again."""
    new = b"\xee" * (CHUNK + SECTOR)  # in two chunks
    cdb = BlockRange(CHUNK // SECTOR - 1, len(new) // SECTOR).cdb(0x2A)
    for left in range(4):  # each chunk, and its bit
        array = Array(MortalStore)
        old = bytes(range(256)) * (SIZE // 256)
        array.store.write(0, old)
        array.origin.good(control(1))
        array.spaces[1].left = left  # type: ignore[attr-defined]
        with pytest.raises(Killed):
            array.origin.run(cdb, new)
        array.spaces[1].left = -1  # type: ignore[attr-defined]
        array.start()
        assert array.read(1) == old
        array.origin.good(cdb, new)
        assert array.read(1) == old


def test_a_file_for_a_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    make_snapshot_file(str(path), SIZE)
    size = path.stat()
    assert (size.st_size, size.st_mode & 0o777) == (snapshot_size(SIZE), 0o600)
    assert size.st_blocks * 512 < CHUNK
    disk = Disk(RamStore(SIZE), Identity.of("origin"))
    disk.snapshots[1] = Snapshot(disk.medium, FileStore(str(path)))
    UnitInitiator(disk).good(control(1))
    disk.close()
    make_snapshot_file(str(path), 2 * SIZE)  # the disk has grown
    disk = Disk(RamStore(2 * SIZE), Identity.of("origin"))
    disk.snapshots[1] = Snapshot(disk.medium, FileStore(str(path)))
    assert disk.snapshots[1].is_taken
    UnitInitiator(disk).good(control(1))
    assert disk.snapshots[1].sectors == SIZE // SECTOR
    disk.close()


def test_files_that_are_no_snapshots(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(SIZE))
    with pytest.raises(UsageError, match=r"disk\.img: it has other content, which .* overwrite"):
        make_snapshot_file(str(image), SIZE)
    assert image.read_bytes() == bytes(SIZE)
    with pytest.raises(UsageError, match=r"none/snapshot: No such file or directory"):
        make_snapshot_file(str(tmp_path / "none" / "snapshot"), SIZE)
    with pytest.raises(UsageError, match="Is a directory"):
        make_snapshot_file(str(tmp_path), SIZE)
    with pytest.raises(UsageError, match="not a regular file"):
        make_snapshot_file("/dev/null", SIZE)


def test_who_reads_a_snapshot_is_told_of_another_one_over_a_kill() -> None:
    """It was taken, and the process killed, before they sent a command."""
    array, memory = Array(), bytearray(journal_size(SnapshotDisk.journal_room))

    def take_up() -> UnitInitiator:
        disk = SnapshotDisk(array.disk.snapshots[1], Identity.of("reader"))
        disk.take_up(Journal(memory, SnapshotDisk.journal_room))
        return UnitInitiator(disk)

    assert take_up().code(bytes(6)) == "02/3a/00"
    array.origin.good(control(1))
    reader = take_up()
    assert reader.code(bytes(6)) == "06/28/00"
    assert reader.good(bytes(6)) == b""
    assert take_up().good(bytes(6)) == b""


@pytest.mark.parametrize("ends", [control(1), control(1, drop=True)])
def test_a_token_of_a_snapshot_ends_with_it(array: Array, ends: str) -> None:
    array.origin.good(BlockRange(0, 1).cdb(0x2A), b"first".ljust(SECTOR))
    array.origin.good(control(1))
    array.origin.good(BlockRange(0, 1).cdb(0x2A), b"second".ljust(SECTOR))
    array.read(1)
    reader = array.readers[1]
    token = populate(reader, [(0, 1)])
    array.disk.find_copy_target = lambda _, naa: reader.unit
    write(array.origin, token, [(5, 1)])
    assert array.origin.good(BlockRange(5, 1).cdb(0x28)).startswith(b"first")
    array.origin.good(ends)
    array.origin.good(control(1))
    assert refused(array.origin, token, [(6, 1)]) == "05/23/06"
