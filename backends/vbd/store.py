"""Where a virtual disk's sectors live, as objects (filters.py has the filters that stand on them).

The work is done in C (`blk_stores.h`); this gives it names, ownership and readable errors. A store
in pure Python is a subclass of `PythonStore`.
"""

import errno
import os
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Any, Self

from pvdrivers.ring._core import ffi, lib
from pvdrivers.ring.errors import UsageError

SECTOR = 512  # bytes, the unit of every sector number


class Operation(IntEnum):
    READ = lib.PV_BLK_READ
    WRITE = lib.PV_BLK_WRITE
    FLUSH = lib.PV_BLK_FLUSH
    DISCARD = lib.PV_BLK_DISCARD


def _check_size(size: int, sector_size: int, what: str) -> None:
    if sector_size not in (512, 1024, 2048, 4096):
        raise UsageError(
            f"{what}: a sector size of {sector_size} bytes is not 512, 1024, 2048 or 4096"
        )
    if size <= 0 or size % sector_size:
        raise UsageError(
            f"{what}: a size of {size} bytes is not a positive multiple of {sector_size}-byte "
            "sectors"
        )


def created(pointer: Any, what: str) -> Any:
    if pointer == ffi.NULL:
        raise OSError(ffi.errno, f"{what}: {os.strerror(ffi.errno)}")
    return pointer


class Store:
    """A store in use. `pointer` is what C takes; it is valid until `close`.

    The read, write, flush and discard here carry out one operation and wait for it. They are for
    tests and tools; a backend gives `pointer` to its queues. A failed operation raises OSError, one
    outside the store UsageError.
    """

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer

    @property
    def pointer(self) -> Any:
        if self._pointer is None:
            raise UsageError("the store is closed, or a filter has taken it over")
        return self._pointer

    @property
    def name(self) -> str:
        return str(ffi.string(self.pointer.ops.name).decode())

    @property
    def geometry(self) -> Any:
        """`struct pv_blk_geometry`."""
        return self.pointer.geometry

    @property
    def sectors(self) -> int:
        return int(self.geometry.sectors)

    @property
    def sector_size(self) -> int:
        return int(self.geometry.sector_size)

    @property
    def read_only(self) -> bool:
        return bool(self.geometry.read_only)

    def read(self, sector: int, count: int) -> bytes:
        data = bytearray(count * SECTOR)
        self._transfer(Operation.READ, sector, count, ffi.from_buffer(data))
        return bytes(data)

    def write(self, sector: int, data: bytes) -> None:
        if len(data) % SECTOR:
            raise UsageError(f"{len(data)} bytes are not whole sectors")
        self._transfer(Operation.WRITE, sector, len(data) // SECTOR, ffi.from_buffer(data))

    def flush(self) -> None:
        self._transfer(Operation.FLUSH, 0, 0, ffi.NULL)

    def discard(self, sector: int, count: int, secure: bool = False) -> None:
        self._transfer(Operation.DISCARD, sector, count, ffi.NULL, secure)

    def refresh(self) -> None:
        """Reads the capacity again; not while a backend's queue is being pumped."""
        status = lib.pv_blk_store_refresh(self.pointer)
        if status:
            raise OSError(-status, os.strerror(-status))

    def check_unused(self) -> None:
        """UsageError while a backend's queue serves from the store."""
        if self._pointer is not None and self._pointer.users:
            raise UsageError(f"{self!r} is in use by a backend: end that first")

    def close(self) -> None:
        """Waits for what is in flight. A second call does nothing. UsageError while a backend
        serves from the store."""
        self.check_unused()
        if self._pointer is not None:
            lib.pv_blk_store_close(self._pointer)
            self._forget()

    def _forget(self) -> None:
        self._pointer = None

    def _transfer(
        self, operation: Operation, sector: int, count: int, data: Any, secure: bool = False
    ) -> None:
        inside = sector >= 0 and count > 0 and sector + count <= self.sectors
        if operation != Operation.FLUSH and not inside:
            raise UsageError(
                f"sectors {sector} to {sector + count} are not in a store of {self.sectors}"
            )
        status = lib.pv_blk_store_transfer(self.pointer, operation, sector, count, data, secure)
        if status:
            raise OSError(-status, os.strerror(-status))

    def __repr__(self) -> str:
        if self._pointer is None:
            return f"<{type(self).__name__} closed>"
        access = "read-only" if self.read_only else "read-write"
        return (
            f"<{type(self).__name__} {self.name}, {self.sectors} sectors of 512 bytes, "
            f"sector size {self.sector_size}, {access}>"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class NullStore(Store):
    """Writes go nowhere and reads give zeros, or with `no_data` leave the guest's pages alone."""

    def __init__(self, size: int, sector_size: int = 512, *, no_data: bool = False) -> None:
        _check_size(size, sector_size, "null store")
        pointer = lib.pv_null_store_create(size // SECTOR, sector_size, no_data)
        super().__init__(created(pointer, "null store"))


class RamStore(Store):
    """This process's memory, zeros at first."""

    def __init__(self, size: int, sector_size: int = 512) -> None:
        _check_size(size, sector_size, "ram store")
        pointer = lib.pv_ram_store_create(size // SECTOR, sector_size)
        super().__init__(created(pointer, "ram store"))


class FileStore(Store):
    """A regular file or a block device.

    `threads` carry out the I/O; with 0 the thread that submits does, which a deterministic run
    needs. `direct` is O_DIRECT. Flush is fdatasync, discard punches holes, secure discard fails
    with EOPNOTSUPP. Raises UsageError, in one sentence, for a path that cannot be such a store.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        direct: bool = False,
        threads: int = 2,
        read_only: bool = False,
        sector_size: int = 512,
    ) -> None:
        name = os.fspath(path)
        if threads < 0:
            raise UsageError(f"{name}: {threads} threads")
        encoded = ffi.new("char[]", os.fsencode(name))
        config = ffi.new("struct pv_file_store_config *")
        config.path = encoded
        config.direct = direct
        config.threads = threads
        config.read_only = read_only
        config.sector_size = sector_size
        pointer = lib.pv_file_store_create(config)
        if pointer == ffi.NULL:
            raise UsageError(f"{name}: {_why_no_file(ffi.errno, name, direct, sector_size)}")
        super().__init__(pointer)


def _why_no_file(error: int, path: str, direct: bool, sector_size: int) -> str:
    if error == errno.ENOTSUP:
        return "neither a regular file nor a block device"
    if error == errno.EINVAL:
        size = os.path.getsize(path)
        if size == 0:
            return "the file is empty"
        if size % sector_size:
            return f"its size of {size} bytes is not a multiple of {sector_size}-byte sectors"
        if direct:
            return f"O_DIRECT is not possible here in units of {sector_size} bytes"
    return os.strerror(error).lower()


@dataclass(frozen=True, slots=True)
class Request:
    """One operation on a PythonStore. `data` is a WRITE's; sectors are 512 bytes."""

    operation: Operation
    sector: int
    count: int
    data: bytes = b""
    secure: bool = False


# A READ's bytes, None when anything else is done, or why it could not be.
Result = bytes | bytearray | memoryview | None | OSError


class PythonStore(Store):
    """A store whose subclass carries the operations out: a batch in, a batch of results out.

    `fileno()` is readable when there is work, and `serve()` does what there is without blocking;
    `loop.add_reader(store.fileno(), store.serve)` is all an asyncio program needs.
    """

    BATCH = 256

    def __init__(
        self,
        size: int,
        sector_size: int = 512,
        *,
        read_only: bool = False,
        can_discard: bool = True,
        can_secure_discard: bool = False,
    ) -> None:
        _check_size(size, sector_size, "python store")
        geometry = ffi.new("struct pv_blk_geometry *")
        geometry.sectors = size // SECTOR
        geometry.sector_size = geometry.physical_sector_size = sector_size
        geometry.discard_granularity = sector_size
        geometry.read_only = read_only
        geometry.can_flush = True
        geometry.can_discard = can_discard
        geometry.can_secure_discard = can_secure_discard
        pointer = lib.pv_external_store_create(geometry)
        super().__init__(created(pointer, "python store"))
        self._external = pointer  # still the same when a filter has taken the store over
        self._ios = ffi.new("struct pv_blk_io *[]", self.BATCH)

    def _forget(self) -> None:
        super()._forget()
        self._external = None

    def _open(self) -> Any:
        if self._external is None:
            raise UsageError("the store is closed")
        return self._external

    @abstractmethod
    def handle(self, batch: Sequence[Request]) -> Iterable[Result]:
        """Carries out a batch; the results are in the batch's order.

        Requests of one batch were in flight together: the guest cannot expect an order among them,
        but a FLUSH covers what was finished in earlier batches.
        """

    def fileno(self) -> int:
        return int(lib.pv_external_store_fd(self._open()))

    def serve(self) -> int:
        """Carries out what waits, one batch at most; returns how many requests that was.

        What `handle` raises is raised here after the whole batch has failed with EIO.
        """
        count = lib.pv_external_store_take(self._open(), self._ios, self.BATCH)
        if count == 0:
            return 0
        ios = [self._ios[i] for i in range(count)]
        for io in ios:
            io.status = -errno.EIO
        try:
            results = list(self.handle([_request(io) for io in ios]))
            if len(results) != count:
                raise UsageError(f"handle gave {len(results)} results for {count} requests")
            for io, result in zip(ios, results, strict=True):
                io.status = _settle(io, result)
        finally:
            lib.pv_external_store_finish(self._open(), self._ios, count)
        return int(count)


def _request(io: Any) -> Request:
    data = b""
    if io.op == Operation.WRITE:
        vectors = (io.iov[i] for i in range(io.iov_count))
        data = b"".join(ffi.buffer(vector.iov_base, vector.iov_len) for vector in vectors)
    return Request(Operation(io.op), io.sector, io.nr_sectors, data, io.secure)


def _settle(io: Any, result: Result) -> int:
    """Puts a READ's bytes where they belong; returns the operation's status."""
    if isinstance(result, OSError):
        return -(result.errno or errno.EIO)
    if io.op != Operation.READ:
        return 0
    if result is None or len(result) != io.nr_sectors * SECTOR:
        raise UsageError(f"a READ of {io.nr_sectors} sectors was not answered with as many bytes")
    view, start = memoryview(result), 0
    for i in range(io.iov_count):
        vector = io.iov[i]
        end = start + vector.iov_len
        ffi.buffer(vector.iov_base, vector.iov_len)[:] = view[start:end]
        start = end
    return 0
