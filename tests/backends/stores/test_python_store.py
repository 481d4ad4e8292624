"""Stores in Python against a plain model: a bytearray, and a count of each operation's ends."""

import errno
import os
import re
import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers._core import ffi
from pvdrivers.backends.stores.filters import TornFilter
from pvdrivers.backends.stores.python_store import PythonStore, Request, StoreBatch
from pvdrivers.backends.stores.store import StoreOperation
from pvdrivers.ring.errors import UsageError

SECTORS = 32
SIZE = SECTORS * 512
DATA = (StoreOperation.READ, StoreOperation.WRITE)


class MemoryStore(PythonStore):
    """The example of docs/stores.md."""

    def __init__(self, size: int = SIZE, sector_size: int = 512) -> None:
        super().__init__(size, sector_size)
        self.memory = bytearray(size)

    def handle(self, batch: StoreBatch) -> None:
        for request in batch:
            self.one(request)

    def one(self, request: Request) -> None:
        start, end = request.sector * 512, (request.sector + request.count) * 512
        if request.operation == StoreOperation.READ:
            request.data[:] = self.memory[start:end]
        elif request.operation == StoreOperation.WRITE:
            self.memory[start:end] = request.data
        elif request.operation == StoreOperation.DISCARD:
            self.memory[start:end] = bytes(end - start)
        request.done()


@dataclass
class Asked:
    """An operation as a backend submits it, its data in pieces of some sectors each."""

    operation: StoreOperation
    sector: int = 0
    count: int = 1
    pieces: list[int] = field(default_factory=list)
    data: bytes = b""
    secure: bool = False
    ends: int = 0

    def __post_init__(self) -> None:
        self.io = ffi.new("struct pv_blk_io *")
        if self.operation == StoreOperation.FLUSH:
            self.sector = self.count = 0
        self.io.op, self.io.secure = self.operation, self.secure
        self.io.sector, self.io.nr_sectors = self.sector, self.count
        sizes = list(self._sizes()) if self.operation in DATA else []
        content = self.data.ljust(sum(sizes), b"\xee")
        self.memory = [ffi.new("uint8_t[]", size) for size in sizes]
        for piece in self.memory:
            ffi.memmove(piece, content[: len(piece)], len(piece))
            content = content[len(piece) :]
        self.vectors = ffi.new("struct iovec[]", [(p, len(p)) for p in self.memory])
        self.io.iov, self.io.iov_count = self.vectors, len(sizes)
        self.io.complete = self.callback = ffi.callback("void(struct pv_blk_io *)", self._end)

    def _sizes(self) -> Iterator[int]:
        left = self.count
        for piece in (*self.pieces, left):
            if left:
                yield min(piece, left) * 512
                left -= min(piece, left)

    def _end(self, _io: Any) -> None:
        self.ends += 1

    @property
    def content(self) -> bytes:
        return b"".join(bytes(piece) for piece in self.memory)


def submit(store: PythonStore, asked: list[Asked]) -> None:
    ios = ffi.new("struct pv_blk_io *[]", [one.io for one in asked])
    store.pointer.ops.submit(store.pointer, ios, len(asked))


def statuses_of(asked: list[Asked]) -> list[int]:
    """Each has ended once; the statuses."""
    assert [one.ends for one in asked] == [1] * len(asked)
    return [one.io.status for one in asked]


ASKED = st.builds(
    lambda operation, sector, count, pieces, data: Asked(
        operation, sector, min(count, SECTORS - sector), pieces, data * count
    ),
    st.sampled_from(list(StoreOperation)),
    st.integers(0, SECTORS - 1),
    st.integers(1, 8),
    st.lists(st.integers(1, 4), max_size=4),
    st.binary(min_size=512, max_size=512),
)
FATES = st.sampled_from([0, 0, 0, errno.ENOSPC, errno.EIO, 4095])


@pytest.mark.slow
@settings(max_examples=100)
@given(st.lists(st.lists(st.tuples(ASKED, FATES), min_size=1, max_size=6), max_size=6))
def test_content_and_statuses_are_the_models(batches: list[list[tuple[Asked, int]]]) -> None:
    class Fated(MemoryStore):
        def handle(self, batch: StoreBatch) -> None:
            assert len(batch) == len(fates)
            for request, fate in zip(batch, fates, strict=True):
                if fate:
                    request.fail(fate)
                else:
                    self.one(request)

    model = bytearray(SIZE)
    with Fated() as store:
        for batch in batches:
            asked, fates = [one for one, _ in batch], [fate for _, fate in batch]
            before = [one.content for one in asked]
            submit(store, asked)
            assert store.serve() == len(asked)
            assert statuses_of(asked) == [-fate for fate in fates]
            for one, fate, old in zip(asked, fates, before, strict=True):
                start, end = one.sector * 512, (one.sector + one.count) * 512
                if one.operation == StoreOperation.READ:
                    assert one.content == (old if fate else bytes(model[start:end]))
                elif one.operation == StoreOperation.WRITE and not fate:
                    model[start:end] = one.content
                elif one.operation == StoreOperation.DISCARD and not fate:
                    model[start:end] = bytes(end - start)
        assert store.memory == model
        assert store.serve() == 0


@settings(max_examples=50)
@given(st.lists(ASKED, min_size=1, max_size=8))
def test_arrays_and_requests_are_the_same(asked: list[Asked]) -> None:
    class Looked(PythonStore):
        def handle(self, batch: StoreBatch) -> None:
            seen = [(r.operation, r.sector, r.count, r.secure, bytes(r.data)) for r in batch]
            assert seen == [
                (
                    one.operation,
                    one.sector,
                    one.count,
                    False,
                    bytes(len(one.content))
                    if one.operation == StoreOperation.READ
                    else one.content,
                )
                for one in asked
            ]
            arrays = zip(batch.operations, batch.sectors, batch.counts, batch.secure, strict=True)
            assert [(*row,) for row in arrays] == [row[:4] for row in seen]
            places = zip(batch.offsets, batch.offsets[1:], strict=False)
            assert [bytes(batch.data[start:end]) for start, end in places] == [r[4] for r in seen]
            assert [request.index for request in batch] == list(range(len(batch)))
            assert batch[-1].sector == seen[-1][1]
            assert batch.sectors.readonly
            batch.statuses[:] = array("i", [-errno.EROFS] * (len(batch) - 1) + [0])

    with Looked(SIZE) as store:
        submit(store, asked)
        store.serve()
        assert statuses_of(asked) == [-errno.EROFS] * (len(asked) - 1) + [0]


def test_done_leaves_failures_alone() -> None:
    class Null(PythonStore):
        def handle(self, batch: StoreBatch) -> None:
            batch[1].fail(errno.ENOSPC)
            batch.done()

    asked = [
        Asked(StoreOperation.READ, 3, data=b"s" * 512),
        Asked(StoreOperation.WRITE),
        Asked(StoreOperation.FLUSH),
    ]
    with Null(SIZE) as store:
        submit(store, asked)
        store.serve()
    assert statuses_of(asked) == [0, -errno.ENOSPC, 0]
    assert asked[0].content == bytes(512)


def leave(batch: StoreBatch) -> None:
    batch[0].done()


def raise_late(batch: StoreBatch) -> None:
    batch.done()
    raise ZeroDivisionError


def answer_short(batch: StoreBatch) -> None:
    batch.done()
    batch[0].data[:] = b"short"


def set_status(value: int) -> Callable[[StoreBatch], None]:
    def handle(batch: StoreBatch) -> None:
        batch.done()
        batch.statuses[1] = value

    return handle


@pytest.mark.parametrize(
    ("handle", "kind"),
    [
        (leave, UsageError),
        (raise_late, ZeroDivisionError),
        (answer_short, ValueError),
        (set_status(5), UsageError),
        (set_status(-4096), UsageError),
        (set_status(-(2**31)), UsageError),
        (lambda batch: batch[7], IndexError),
    ],
)
def test_a_mistake_fails_the_batch_and_comes_out_of_serve(
    handle: Callable[[StoreBatch], None], kind: type[Exception]
) -> None:
    class Broken(PythonStore):
        def handle(self, batch: StoreBatch) -> None:
            handle(batch)

    asked = [Asked(StoreOperation.READ), Asked(StoreOperation.WRITE)]
    with Broken(SIZE) as store:
        submit(store, asked)
        with pytest.raises(kind):
            store.serve()
        assert statuses_of(asked) == [-errno.EIO] * 2
        assert asked[0].content == b"\xee" * 512
        assert store.serve() == 0


def test_what_is_kept_of_a_batch_touches_no_other() -> None:
    class Keeper(MemoryStore):
        def handle(self, batch: StoreBatch) -> None:
            super().handle(batch)
            kept.append((batch, batch.data[:512], batch.statuses))

    kept: list[tuple[StoreBatch, memoryview, memoryview]] = []
    with Keeper() as store:
        for round_ in range(3):
            asked = [Asked(StoreOperation.WRITE, round_, data=b"w" * 512)]
            for batch, data, statuses in kept:
                batch[0].fail(errno.EPERM)
                batch.done()
                data[:] = bytes(512)
                statuses[0] = -errno.EACCES
            submit(store, asked)
            store.serve()
            assert statuses_of(asked) == [0]
        assert store.memory == b"w" * 512 * 3 + bytes(SIZE - 512 * 3)
    assert kept[0][0][0].sector == 0


def test_memory_is_used_again_and_holds_nothing_old() -> None:
    class Peek(PythonStore):
        def handle(self, batch: StoreBatch) -> None:
            seen.append(bytes(batch.data))
            batch.done()

    seen: list[bytes] = []
    with Peek(SIZE) as store:
        for one in (
            Asked(StoreOperation.WRITE, count=8, data=b"s" * 4096),
            Asked(StoreOperation.READ),
        ):
            submit(store, [one])
            store.serve()
        assert len(store._memory) == 1
    assert seen == [b"s" * 4096, bytes(512)]


def test_a_batch_is_bounded() -> None:
    """256 operations; 4 MiB of data, or one operation that alone has more."""
    sizes: list[int] = []

    class Sizes(PythonStore):
        def handle(self, batch: StoreBatch) -> None:
            sizes.append(len(batch))
            batch.done()

    with Sizes(16 << 20) as store:
        small = [Asked(StoreOperation.FLUSH) for _ in range(300)]
        submit(store, small)
        assert [store.serve(), store.serve()] == [256, 44]
        large = [Asked(StoreOperation.READ, count=count) for count in (16384, 4096, 4096, 1)]
        submit(store, large)
        while store.serve():
            pass
        assert statuses_of(small + large) == [0] * 304
    assert sizes == [256, 44, 1, 2, 1]


def test_threads_may_serve_side_by_side() -> None:
    """Each operation is carried out once."""
    asked = [
        Asked(StoreOperation.WRITE, n % SECTORS, data=bytes([n % 256]) * 512) for n in range(2000)
    ]
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set() or store.serve():
            store.serve()

    with MemoryStore() as store:
        threads = [threading.Thread(target=serve, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for start in range(0, len(asked), 100):
            submit(store, asked[start : start + 100])
        stop.set()
        for thread in threads:
            thread.join()
    assert statuses_of(asked) == [0] * len(asked)


class Server(threading.Thread):
    """Serves a PythonStore until told to stop."""

    def __init__(self, store: PythonStore) -> None:
        super().__init__(daemon=True)
        self.store = store
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            if not self.store.serve():
                self.stopping.wait(0.0005)

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stopping.set()
        self.join()


def fails_with(code: int) -> AbstractContextManager[object]:
    return pytest.raises(OSError, match=re.escape(os.strerror(code)))


def test_one_operation_at_a_time() -> None:
    with MemoryStore() as store, Server(store):
        store.write(3, b"o" * 1024)
        store.flush()
        store.discard(3, 1)
        assert store.read(2, 4) == bytes(1024) + b"o" * 512 + bytes(512)


def test_errors_reach_the_submitter() -> None:
    class Full(PythonStore):
        def handle(self, batch: StoreBatch) -> None:
            for request in batch:
                request.fail(errno.ENOSPC)

    with Full(SIZE) as store, Server(store), fails_with(errno.ENOSPC):
        store.write(0, bytes(512))


def test_works_under_filters() -> None:
    python = MemoryStore()
    with TornFilter(python, seed=3, probability=0) as store:
        with Server(python):
            store.write(3, b"t" * 1024)
        assert python.memory[3 * 512 : 5 * 512] == b"t" * 1024
    with pytest.raises(UsageError):
        python.serve()


def test_a_secure_discard_says_so() -> None:
    class Secure(PythonStore):
        def handle(self, batch: StoreBatch) -> None:
            assert [request.secure for request in batch] == [False, True]
            assert [repr(request) for request in batch] == [
                "<Request DISCARD of 1 sectors at 0>",
                "<Request DISCARD of 2 sectors at 4>",
            ]
            batch.done()

    asked = [Asked(StoreOperation.DISCARD), Asked(StoreOperation.DISCARD, 4, 2, secure=True)]
    with Secure(SIZE, can_secure_discard=True) as store:
        assert store.geometry.can_secure_discard
        submit(store, asked)
        store.serve()
    assert statuses_of(asked) == [0, 0]


@pytest.mark.parametrize("size", [0, -512, 1000])
def test_odd_sizes(size: int) -> None:
    with pytest.raises(UsageError, match=r"multiple of 512-byte sectors"):
        MemoryStore(size)
