"""Where a virtual disk's sectors live, as objects (filters.py has the filters that stand on them).

The work is done in C (`stores.h`); this gives it names, ownership and readable errors. A store
in pure Python is a subclass of `PythonStore` (python_store.py).
"""

import errno
import os
from enum import IntEnum
from typing import Any, Literal, get_args

from pvdrivers._core import ffi, lib
from pvdrivers.backends.owned import Owned, created
from pvdrivers.ring.abi import SECTOR
from pvdrivers.ring.errors import UsageError


class StoreOperation(IntEnum):
    READ = lib.PV_BLK_READ
    WRITE = lib.PV_BLK_WRITE
    FLUSH = lib.PV_BLK_FLUSH
    DISCARD = lib.PV_BLK_DISCARD


_END = 1 << 55  # behind the last sector of any store


def check_size(size: int, sector_size: int, what: str) -> None:
    if sector_size not in (512, 1024, 2048, 4096):
        raise UsageError(
            f"{what}: a sector size of {sector_size} bytes is not 512, 1024, 2048 or 4096"
        )
    if size <= 0 or size % sector_size:
        raise UsageError(
            f"{what}: a size of {size} bytes is not a positive multiple of {sector_size}-byte "
            "sectors"
        )


class BlockStore(Owned):
    """A store in use. `pointer` is what C takes; it is valid until `close`.

    The read, write, flush and discard here carry out one operation and wait for it. They are for
    tests and tools; a backend gives `pointer` to its queues. A failed operation raises OSError, one
    beyond the store's end UsageError.
    """

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer
        self.name = str(ffi.string(pointer.ops.name).decode())

    @property
    def pointer(self) -> Any:
        if self._pointer is None:
            raise UsageError("the store is closed, or a filter has taken it over")
        return self._pointer

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
    def io_outlives_process(self) -> bool:
        """Whether the kernel may carry on with an operation, in the memory it was given, when this
        process is gone. On a real Xen guests' pages are then kept from the store: the backend
        copies the data."""
        return bool(self.pointer.io_outlives_process)

    @property
    def read_only(self) -> bool:
        return bool(self.geometry.read_only)

    def read(self, sector: int, count: int) -> bytes:
        data = bytearray(count * SECTOR)
        self._transfer(StoreOperation.READ, sector, count, ffi.from_buffer(data))
        return bytes(data)

    def write(self, sector: int, data: bytes | memoryview) -> None:
        if len(data) % SECTOR:
            raise UsageError(f"{len(data)} bytes are not whole sectors")
        self._transfer(StoreOperation.WRITE, sector, len(data) // SECTOR, ffi.from_buffer(data))

    def flush(self) -> None:
        self._transfer(StoreOperation.FLUSH, 0, 0, ffi.NULL)

    def discard(self, sector: int, count: int, secure: bool = False) -> None:
        self._transfer(StoreOperation.DISCARD, sector, count, ffi.NULL, secure)

    # Whether what was discarded reads as zeros from then on.
    discard_gives_zeros = False

    def mapped(self, sector: int) -> tuple[bool, int]:
        """Whether space is taken for a sector, and the end, perhaps beyond the store's, of the
        range for which that is so. What is not mapped reads as zeros."""
        return True, _END

    def prefetch(self, sector: int, count: int) -> None:
        """These sectors will be read soon. A store may do with that what it wants."""

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
        self, operation: StoreOperation, sector: int, count: int, data: Any, secure: bool = False
    ) -> None:
        inside = sector >= 0 and count > 0 and sector + count <= self.sectors
        if operation != StoreOperation.FLUSH and not inside:
            raise UsageError(
                f"sectors {sector} to {sector + count} are not in a store of {self.sectors}"
            )
        status = lib.pv_blk_store_transfer(self.pointer, operation, sector, count, data, secure)
        if status:
            raise OSError(-status, os.strerror(-status))

    def where(self) -> str:
        """In a few words, what the sectors are on."""
        return self.name

    def __repr__(self) -> str:
        if self._pointer is None:
            return f"<{type(self).__name__} closed>"
        access = "read-only" if self.read_only else "read-write"
        return (
            f"<{type(self).__name__} {self.where()}, {self.sectors} sectors of 512 bytes, "
            f"sector size {self.sector_size}, {access}>"
        )


class NullStore(BlockStore):
    """Writes go nowhere and reads give zeros, or with `no_data` leave the guest's pages alone."""

    discard_gives_zeros = True

    def __init__(self, size: int, sector_size: int = 512, *, no_data: bool = False) -> None:
        check_size(size, sector_size, "null store")
        pointer = lib.pv_null_store_create(size // SECTOR, sector_size, no_data)
        super().__init__(created(pointer, "null store"))


class RamStore(BlockStore):
    """This process's memory, zeros at first."""

    discard_gives_zeros = True

    def __init__(self, size: int, sector_size: int = 512) -> None:
        check_size(size, sector_size, "ram store")
        pointer = lib.pv_ram_store_create(size // SECTOR, sector_size)
        super().__init__(created(pointer, "ram store"))


Engine = Literal["auto", "sync", "threads", "io_uring"]
ENGINES: tuple[Engine, ...] = get_args(Engine)  # in the order of enum pv_file_engine


class FileStore(BlockStore):
    """A regular file or a block device.

    `engine` says who carries out the I/O: the kernel, by "io_uring"; a pool of "threads"; or, with
    "sync", the thread that submits, which a deterministic run needs. "auto" is "sync" with no
    threads and for a file in memory, else "io_uring" where that is possible. There are `threads`
    at most; for io_uring they do what it cannot. `direct` is O_DIRECT. Flush is fdatasync, discard
    punches holes, secure discard fails with EOPNOTSUPP. Raises UsageError, in one sentence, for a
    path that cannot be such a store.
    """

    discard_gives_zeros = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        direct: bool = False,
        threads: int = 2,
        read_only: bool = False,
        sector_size: int = 512,
        engine: Engine = "auto",
    ) -> None:
        name = os.fspath(path)
        if threads < 0:
            raise UsageError(f"{name}: {threads} threads")
        if engine not in ENGINES:
            raise UsageError(f"{name}: engine {engine} is not {', '.join(ENGINES)}")
        encoded = ffi.new("char[]", os.fsencode(name))
        config = ffi.new("struct pv_file_store_config *")
        config.path = encoded
        config.direct = direct
        config.threads = threads
        config.read_only = read_only
        config.sector_size = sector_size
        config.engine = ENGINES.index(engine)
        pointer = lib.pv_file_store_create(config)
        if pointer == ffi.NULL:
            raise UsageError(f"{name}: {_why_no_file(ffi.errno, name, direct, sector_size)}")
        super().__init__(pointer)
        self.engine: Engine = ENGINES[lib.pv_file_store_engine(pointer)]  # the one in use
        self._fd = int(lib.pv_file_store_fd(pointer))
        self.path = name
        self.direct = direct

    def mapped(self, sector: int) -> tuple[bool, int]:
        """As the file system says, in its own blocks. A block device says nothing, so all of it is
        mapped."""
        start = sector * SECTOR
        try:
            data = os.lseek(self._fd, start, os.SEEK_DATA) // SECTOR
            if data > sector:
                return False, data
            return True, -(-os.lseek(self._fd, start, os.SEEK_HOLE) // SECTOR)
        except OSError as error:
            return error.errno != errno.ENXIO, _END  # ENXIO: no data from there on

    def prefetch(self, sector: int, count: int) -> None:
        os.posix_fadvise(self._fd, sector * SECTOR, count * SECTOR, os.POSIX_FADV_WILLNEED)

    def _forget(self) -> None:
        super()._forget()
        self._fd = -1

    def where(self) -> str:
        return f"{self.name} {self.path}" + (", direct" if self.direct else "")


def _why_no_file(error: int, path: str, direct: bool, sector_size: int) -> str:
    if error == errno.EBUSY:
        return "operations of a process that has ended are still on their way to it"
    if error == errno.EAGAIN:
        return "another program has a lease on it"
    if error == errno.EREMOTE:
        return "io_uring is for block devices and local file systems: on others it may wait"
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
