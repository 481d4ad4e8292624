"""A store whose sectors are kept by Python code: a batch of operations in, their outcomes out."""

import errno
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from itertools import repeat
from struct import calcsize
from typing import Any, Literal

from pvdrivers._core import ffi, lib
from pvdrivers.backends.owned import created
from pvdrivers.backends.stores.store import BlockStore, StoreOperation, check_size
from pvdrivers.ring.abi import SECTOR
from pvdrivers.ring.errors import UsageError

Code = Literal["B", "Q", "i"]  # of struct

_OPERATIONS = tuple(StoreOperation)  # by number
_new_batch = ffi.new_allocator(should_clear_after_alloc=False)
_offset = {name: field.offset for name, field in ffi.typeof("struct pv_external_batch").fields}


class Request:
    """One operation of a batch, to be carried out and completed while `handle` runs."""

    __slots__ = ("_batch", "_end", "_start", "count", "index", "operation", "sector", "secure")

    def __init__(
        self,
        batch: "StoreBatch",
        index: int,
        operation: int,
        sector: int,
        count: int,
        secure: int,
        start: int,
        end: int,
    ) -> None:
        self._batch = batch
        self._start = start
        self._end = end
        self.index = index  # in the batch and its arrays
        self.operation = _OPERATIONS[operation]
        self.sector = sector  # where it begins, in units of 512 bytes
        self.count = count  # of such sectors
        self.secure = bool(secure)  # DISCARD: the old content must be gone

    @property
    def data(self) -> memoryview:
        """A WRITE's bytes, or where a READ's go: zeros at first. Empty for the others."""
        return self._batch.data[self._start : self._end]

    def done(self) -> None:
        self._batch.statuses[self.index] = 0

    def fail(self, error: int) -> None:
        """`error` is an errno: the backend counts it, the guest sees an error."""
        self._batch.statuses[self.index] = -error

    def __repr__(self) -> str:
        return f"<Request {self.operation.name} of {self.count} sectors at {self.sector}>"


class StoreBatch:
    """Operations that are in flight together: request by request, and the same as arrays.

    In each array, place i is request i's. They are memoryviews, for loops, `array` and numpy alike,
    and what is written to them counts while `handle` runs.
    """

    def __init__(self, cdata: Any, memory: bytearray) -> None:
        self._cdata = cdata
        self._length = int(cdata.count)
        self._arrays = memoryview(ffi.buffer(cdata))
        # A copy of the guest's, of all requests; `offsets` says whose is what.
        self.data = memoryview(memory)[: cdata.offsets[self._length]]

    @cached_property
    def operations(self) -> memoryview:
        """Each a `StoreOperation`; format B."""
        return self._array("operations", "B").toreadonly()

    @cached_property
    def sectors(self) -> memoryview:
        """Where each begins, in units of 512 bytes; format Q."""
        return self._array("sectors", "Q").toreadonly()

    @cached_property
    def counts(self) -> memoryview:
        """How many sectors of 512 bytes; format Q."""
        return self._array("counts", "Q").toreadonly()

    @cached_property
    def secure(self) -> memoryview:
        """Whether a DISCARD's old content must be gone; format B."""
        return self._array("secure", "B").toreadonly()

    @cached_property
    def offsets(self) -> memoryview:
        """Request i's bytes are data[offsets[i]:offsets[i + 1]]; format Q."""
        return self._array("offsets", "Q", self._length + 1).toreadonly()

    @cached_property
    def statuses(self) -> memoryview:
        """To be set: 0 for what is done, else a negative errno; format i."""
        return self._array("statuses", "i")

    def _array(self, name: str, code: Code, length: int | None = None) -> memoryview:
        start, length = _offset[name], self._length if length is None else length
        return self._arrays[start : start + length * calcsize(code)].cast(code)

    def done(self) -> None:
        """Completes, without an error, all requests that are not completed yet."""
        lib.pv_external_batch_done(self._cdata)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Request:
        i = range(self._length)[index]
        return Request(self, i, *(column[i] for column in self._columns))

    def __iter__(self) -> Iterator[Request]:
        return map(Request, repeat(self), range(self._length), *self._columns)

    @property
    def _columns(self) -> tuple[memoryview, ...]:
        """What a request is made of."""
        starts, ends = self.offsets, self.offsets[1:]
        return self.operations, self.sectors, self.counts, self.secure, starts, ends


class PythonStore(BlockStore):
    """A store whose subclass carries the operations out, a batch at a time.

    `fileno()` is readable when there is work, and `serve()` does what there is without blocking;
    `loop.add_reader(store.fileno(), store.serve)` is all an asyncio program needs.
    """

    def __init__(
        self,
        size: int,
        sector_size: int = SECTOR,
        *,
        read_only: bool = False,
        can_discard: bool = True,
        can_secure_discard: bool = False,
    ) -> None:
        check_size(size, sector_size, "python store")
        geometry = ffi.new("struct pv_blk_geometry *")
        geometry.sectors = size // SECTOR
        geometry.sector_size = geometry.physical_sector_size = sector_size
        geometry.discard_granularity = sector_size
        geometry.read_only = read_only
        geometry.can_flush = True
        geometry.can_discard = can_discard
        geometry.can_secure_discard = can_secure_discard
        pointer = created(lib.pv_external_store_create(geometry), "python store")
        pointer.io_outlives_process = False  # a batch's data are a copy
        super().__init__(pointer)
        self._external = pointer  # still the same when a filter has taken the store over
        self._memory: list[bytearray] = []  # of earlier batches, for the next

    def _forget(self) -> None:
        super()._forget()
        self._external = None

    def _open(self) -> Any:
        if self._external is None:
            raise UsageError("the store is closed")
        return self._external

    @abstractmethod
    def handle(self, batch: StoreBatch) -> None:
        """Carries out a batch: fills in the data of its READs and completes each of its requests.

        Requests of one batch were in flight together: the guest cannot expect an order among them,
        but a FLUSH covers what was finished in earlier batches.
        """

    def fileno(self) -> int:
        return int(lib.pv_external_store_fd(self._open()))

    def serve(self) -> int:
        """Carries out what waits, one batch at most; returns how many requests that was.

        What `handle` raises is raised here after the whole batch has failed with EIO, and so is
        UsageError when it has left a request incomplete.
        """
        external, cdata = self._open(), _new_batch("struct pv_external_batch *")
        count = int(lib.pv_external_batch_take(external, cdata))
        if count == 0:
            return 0
        memory = self._memory_for(cdata.offsets[count])
        try:
            lib.pv_external_batch_load(cdata, _address(memory))
            self._carry_out(StoreBatch(cdata, memory))
        except BaseException:
            for i in range(count):
                cdata.statuses[i] = -errno.EIO
            raise
        finally:
            lib.pv_external_batch_finish(external, cdata, _address(memory))
        self._keep(memory)
        return count

    def _carry_out(self, batch: StoreBatch) -> None:
        self.handle(batch)
        wrong = lib.pv_external_batch_incomplete(batch._cdata)
        if wrong >= 0:
            raise UsageError(f"{batch[wrong]!r} was left with status {batch.statuses[wrong]}")

    def _memory_for(self, size: int) -> bytearray:
        try:
            memory = self._memory.pop()  # as an atomic step: several threads may serve
        except IndexError:
            return bytearray(size)
        return memory if len(memory) >= size else bytearray(size)

    def _keep(self, memory: bytearray) -> None:
        """Uses the memory again, unless there is still a view of it."""
        try:
            memory.append(0)
        except BufferError:
            return
        memory.pop()
        self._memory.append(memory)


def _address(memory: bytearray) -> Any:
    return ffi.from_buffer("uint8_t[]", memory)
