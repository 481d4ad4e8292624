"""A store's logical blocks, whose errors are sense data."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pvdrivers.backends.stores.store import BlockStore
from pvdrivers.backends.targets.command import CheckCondition
from pvdrivers.ring.abi import SECTOR
from pvdrivers.scsi.sense import Sense, SenseKey

CHUNK = 1 << 20  # bytes that are read or written at once when the range may be long

_NO_SPACE = (SenseKey.DATA_PROTECT, 0x27, 0x07)  # space allocation failed
_READ_ONLY = (SenseKey.DATA_PROTECT, 0x27, 0x00)
READ_ERROR = (SenseKey.MEDIUM_ERROR, 0x11, 0x00)
WRITE_ERROR = (SenseKey.MEDIUM_ERROR, 0x0C, 0x00)
_ERRORS = {errno.ENOSPC: _NO_SPACE, errno.EDQUOT: _NO_SPACE, errno.EROFS: _READ_ONLY}


class Medium:
    """CheckCondition of all methods: the store has failed. Its information is the first LBA of
    what could not be transferred as a whole, which need not be the block that is broken."""

    def __init__(self, store: BlockStore) -> None:
        self.store = store
        self.block_size = store.sector_size
        self.block_sectors = self.block_size // SECTOR
        self.changing: list[Callable[[int, int], None]] = []  # called with LBA and blocks, before

    @property
    def blocks(self) -> int:
        return self.store.sectors // self.block_sectors

    @property
    def is_thin(self) -> bool:
        """Whether blocks can be unmapped."""
        return bool(self.store.geometry.can_discard) and not self.store.read_only

    @property
    def unmapped_is_zero(self) -> bool:
        return self.store.discard_gives_zeros

    @property
    def has_cache(self) -> bool:
        """Whether what was written may be lost with the power until it is flushed."""
        return bool(self.store.geometry.can_flush)

    def read(self, lba: int, count: int) -> bytes:
        if count == 0:
            return b""
        with sense_of(READ_ERROR, lba):
            return self.store.read(lba * self.block_sectors, count * self.block_sectors)

    def write(self, lba: int, data: bytes | memoryview) -> None:
        if len(data) > 0:
            self._tell(lba, len(data) // self.block_size)
            with sense_of(WRITE_ERROR, lba):
                self.store.write(lba * self.block_sectors, data)

    def flush(self) -> None:
        if self.has_cache:
            with sense_of(WRITE_ERROR):
                self.store.flush()

    def chunks(self, lba: int, count: int, size: int = CHUNK) -> Iterator[tuple[int, int]]:
        """A range in parts of at most `size` bytes."""
        step = size // self.block_size
        for start in range(lba, lba + count, step):
            yield start, min(step, lba + count - start)

    def unmap(self, lba: int, count: int) -> None:
        """A device that cannot after all keeps the blocks mapped, which it is free to do."""
        if count:
            with suppress(_Unsupported):
                self._discard(lba, count)

    def fill(self, lba: int, count: int, block: bytes) -> None:
        """Writes one block's data to each of a range."""
        for start, part in self.chunks(lba, count):
            self.write(start, block * part)

    def zero(self, lba: int, count: int) -> None:
        """The same with zeros, without taking space for them where that is possible."""
        if count and self.is_thin and self.unmapped_is_zero:
            with suppress(_Unsupported):
                self._discard(lba, count)
                return
        self.fill(lba, count, bytes(self.block_size))

    def _tell(self, lba: int, count: int) -> None:
        for call in self.changing:
            call(lba, count)

    def _discard(self, lba: int, count: int) -> None:
        self._tell(lba, count)
        with sense_of(WRITE_ERROR, lba):
            try:
                self.store.discard(lba * self.block_sectors, count * self.block_sectors)
            except OSError as error:
                if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
                    raise _Unsupported from error
                raise

    def mapped(self, lba: int) -> tuple[bool, int]:
        """Whether a block, or a part of it, is mapped, and where a block begins that may differ.
        A block that is mapped in parts counts as mapped."""
        first = lba * self.block_sectors
        is_mapped, end = self.store.mapped(first)
        if is_mapped:
            return True, min(-(-end // self.block_sectors), self.blocks)
        if end // self.block_sectors > lba:
            return False, min(end // self.block_sectors, self.blocks)
        return True, lba + 1

    def prefetch(self, lba: int, count: int) -> None:
        with suppress(OSError):
            self.store.prefetch(lba * self.block_sectors, count * self.block_sectors)


class _Unsupported(Exception):
    pass


@contextmanager
def sense_of(otherwise: tuple[SenseKey, int, int], lba: int | None = None) -> Iterator[None]:
    """Of an OSError of a store: what its number says, or `otherwise`."""
    try:
        yield
    except OSError as error:
        code = _ERRORS.get(error.errno or 0, otherwise)
        raise CheckCondition(Sense(*code, information=lba)) from error
