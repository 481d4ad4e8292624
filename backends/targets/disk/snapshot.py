"""What a disk was at a time, while writes to it go on: blocks are copied before they change."""

from __future__ import annotations

import os
import stat
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.targets.disk.medium import READ_ERROR, Medium, sense_of
from pvdrivers.ring.abi import SECTOR
from pvdrivers.ring.errors import UsageError

CHUNK = 1 << 16  # bytes that are copied at once

_CHUNK_SECTORS = CHUNK // SECTOR
_HEADER = struct.Struct("<8s?7xQQQ")  # magic, whether it is taken, its number, sectors, room
_MAGIC = b"pvsnap\0\1"


def _chunks(sectors: int) -> int:
    return -(-sectors // _CHUNK_SECTORS)


def _map_sectors(room: int) -> int:
    return -(-_chunks(room) // (8 * SECTOR))


def _data_sector(room: int) -> int:
    return _chunks(1 + _map_sectors(room)) * _CHUNK_SECTORS


def snapshot_size(size: int) -> int:
    """Bytes of the store that a snapshot of a disk of so many bytes needs: for what says what is
    there, and room for all of the disk, of which a sparse file takes what has been copied."""
    room = size // SECTOR
    return (_data_sector(room) + _chunks(room) * _CHUNK_SECTORS) * SECTOR


def make_snapshot_file(path: str, size: int) -> None:
    """A sparse file for a snapshot of a disk of so many bytes, unless it is there; one that is too
    small becomes larger. UsageError: it cannot be one, or has other content."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise UsageError(f"snapshot {path}: not a regular file")
            if os.fstat(fd).st_size == 0:
                os.pwrite(fd, _HEADER.pack(_MAGIC, False, 0, 0, 0), 0)
            elif os.pread(fd, len(_MAGIC), 0) != _MAGIC:
                raise UsageError(
                    f"snapshot {path}: it has other content, which a snapshot would overwrite;"
                    " remove it, or name another file"
                )
            if os.fstat(fd).st_size < snapshot_size(size):
                os.ftruncate(fd, snapshot_size(size))
        finally:
            os.close(fd)
    except OSError as error:
        raise UsageError(f"snapshot {path}: {error.strerror}") from error


class Snapshot:
    """On a store of its own, which it closes. `number`: another one each time that it is taken.

    A header and a map of the chunks that are there come before the chunks. A chunk is written
    before its bit, and both before the disk, so after SIGKILL a snapshot on a file is whole;
    nothing is flushed, so after a loss of power it may not be.
    """

    def __init__(self, origin: Medium, store: BlockStore) -> None:
        """UsageError: the store is too small."""
        self.origin = origin
        self.store = store
        self.number = 0
        self.sectors = 0  # of the disk when it was taken
        self.is_taken = False
        self.has_failed = False
        self.ending: list[Callable[[int, int], None]] = []  # called before it shows something else
        self._lock = threading.Lock()  # no chunk is copied while it is looked for
        self._room = origin.store.sectors  # for so many
        self._map = bytearray(_map_sectors(self._room) * SECTOR)
        self._take_up()
        if store.sectors * SECTOR < snapshot_size(self._room * SECTOR):
            raise UsageError(
                f"{store!r} is too small for a snapshot: "
                f"{snapshot_size(self._room * SECTOR)} bytes are needed"
            )
        origin.changing.append(self._before_change)

    @property
    def copied_bytes(self) -> int:
        """In whole chunks."""
        return CHUNK * int.from_bytes(self._map).bit_count()

    def take(self) -> None:
        """It is what the disk is now. OSError: its store has failed, and it is none."""
        with self._lock:
            self._write_header(taken=False)
            self.sectors = min(self._room, self.origin.store.sectors)
            self._map = bytearray(len(self._map))
            self.store.write(1, bytes(self._map))
            self.number += 1
            self.has_failed = False
            self._write_header(taken=True)

    def drop(self) -> None:
        """OSError: as above."""
        with self._lock:
            self._write_header(taken=False)
            self.has_failed = False
            if self.store.geometry.can_discard:
                start = _data_sector(self._room)
                self.store.discard(start, self.store.sectors - start)

    def read(self, sector: int, count: int) -> bytes:
        parts = []
        with self._lock:
            while count:
                chunk = sector // _CHUNK_SECTORS
                part = min(count, (chunk + 1) * _CHUNK_SECTORS - sector)
                there = self._map[chunk // 8] >> chunk % 8 & 1
                place = sector + _data_sector(self._room)
                parts.append(
                    self.store.read(place, part) if there else self.origin.store.read(sector, part)
                )
                sector, count = sector + part, count - part
        return b"".join(parts)

    def _before_change(self, lba: int, count: int) -> None:
        """A store that has no room must not hold up the disk: the snapshot is lost then."""
        if not self.is_taken:
            return
        sectors = self.origin.block_sectors
        first, end = lba * sectors, min((lba + count) * sectors, self.sectors)
        with self._lock:
            try:
                for chunk in range(first // _CHUNK_SECTORS, _chunks(end)):
                    self._copy(chunk)
            except OSError:
                self.has_failed = True
                with suppress(OSError):
                    self._write_header(taken=False)

    def _copy(self, chunk: int) -> None:
        place, bit = chunk // 8, 1 << chunk % 8
        if self._map[place] & bit:
            return
        start = chunk * _CHUNK_SECTORS
        count = min(_CHUNK_SECTORS, self.sectors - start)
        data = self.origin.store.read(start, count)
        self.store.write(_data_sector(self._room) + start, data)
        self._map[place] |= bit
        sector = place // SECTOR
        part = self._map[sector * SECTOR : (sector + 1) * SECTOR]
        self.store.write(1 + sector, bytes(part))

    def _write_header(self, *, taken: bool) -> None:
        self.is_taken = False
        if not taken:
            for call in self.ending:
                call(0, self.sectors)
        header = _HEADER.pack(_MAGIC, taken, self.number, self.sectors, self._room)
        self.store.write(0, header.ljust(SECTOR, b"\0"))
        self.is_taken = taken

    def _take_up(self) -> None:
        """What an earlier process has left. One that is taken has the room that it was made with,
        whatever the disk's size is now."""
        magic, taken, number, sectors, room = _HEADER.unpack_from(self.store.read(0, 1))
        if magic == _MAGIC:
            self.number = number
            if taken:
                self.is_taken, self.sectors, self._room = True, sectors, room
                self._map = bytearray(self.store.read(1, _map_sectors(room)))

    def close(self) -> None:
        self.origin.changing.remove(self._before_change)
        self.store.close()

    @property
    def condition(self) -> str:
        """In a word or two."""
        return "taken" if self.is_taken else "lost" if self.has_failed else "not taken"

    def __repr__(self) -> str:
        return f"<Snapshot {self.condition}, {self.copied_bytes} bytes copied, on {self.store!r}>"


class SnapshotMedium(Medium):
    """A snapshot as the medium of a disk that cannot be written."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot.origin.store)
        self.snapshot = snapshot

    @property
    def is_thin(self) -> bool:
        return False

    @property
    def has_cache(self) -> bool:
        return False

    @property
    def blocks(self) -> int:
        return self.snapshot.sectors // self.block_sectors

    def read(self, lba: int, count: int) -> bytes:
        with sense_of(READ_ERROR, lba):
            return self.snapshot.read(lba * self.block_sectors, count * self.block_sectors)

    def prefetch(self, lba: int, count: int) -> None: ...
