"""Filters: what they do, and that a seed replays it."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers._core import ffi, lib
from pvdrivers.backends.stores.filters import (
    DelayFilter,
    ErrorFilter,
    Filter,
    LogFilter,
    RateFilter,
    ShortFilter,
    TornFilter,
)
from pvdrivers.backends.stores.store import BlockStore, RamStore, StoreOperation
from pvdrivers.ring.errors import UsageError

SECTORS = 256
SIZE = SECTORS * 512


def outcome(store: BlockStore, sector: int, data: bytes) -> int:
    try:
        store.write(sector, data)
    except OSError as error:
        return error.errno or 0
    return 0


def outcomes(store: BlockStore, count: int = 64) -> list[int]:
    return [outcome(store, 0, bytes(4096)) for _ in range(count)]


FAULTY: list[Callable[[int], Filter]] = [
    lambda seed: ErrorFilter(RamStore(SIZE), seed=seed, probability=0.5),
    lambda seed: ShortFilter(RamStore(SIZE), seed=seed, probability=0.5),
    lambda seed: TornFilter(RamStore(SIZE), seed=seed, probability=0.5),
]


@pytest.mark.parametrize("make", FAULTY)
def test_seed_replays(make: Callable[[int], Filter]) -> None:
    def run(seed: int) -> list[int]:
        with make(seed) as store:
            return outcomes(store)

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 10 < sum(map(bool, run(3))) < 54


def test_seed_replays_content() -> None:
    def run(seed: int) -> bytes:
        with TornFilter(RamStore(SIZE), seed=seed, probability=0.7) as store:
            for i in range(60):
                outcome(store, i * 4, bytes([i + 1]) * 8192)
            return store.read(0, SECTORS)

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_error_filter() -> None:
    writes = ErrorFilter(
        RamStore(SIZE), seed=1, operations=[StoreOperation.WRITE], after=2, error=errno.ENOSPC
    )
    with writes as store:
        assert outcomes(store, 5) == [0, 0, errno.ENOSPC, errno.ENOSPC, errno.ENOSPC]
        assert outcome(store, 8, b"x" * 512) == errno.ENOSPC
        assert store.read(8, 1) == bytes(512)  # not carried out
        store.flush()


@settings(max_examples=40)
@given(st.integers(0, 2**64 - 1), st.sampled_from([512, 4096]), st.integers(1, 8))
def test_torn_write_leaves_a_prefix(seed: int, sector_size: int, units: int) -> None:
    new = b"n" * (sector_size * units)
    with TornFilter(RamStore(SIZE, sector_size), seed=seed, after=1) as store:
        store.write(0, b"o" * len(new))
        assert outcome(store, 0, new) == errno.EIO
        found = store.read(0, len(new) // 512)
    written = found.count(b"n")
    assert found == b"n" * written + b"o" * (len(new) - written)
    assert written % sector_size == 0
    assert written < len(new)


def test_torn_writes_differ_in_length() -> None:
    lengths = set()
    with TornFilter(RamStore(SIZE), seed=9) as store:
        for sector in range(0, SECTORS, 8):
            outcome(store, sector, b"n" * 4096)
            lengths.add(store.read(sector, 8).count(b"n") // 512)
    assert len(lengths) >= 4


def test_short_read_fills_a_prefix() -> None:
    data = ffi.new("char[]", 4096)
    with ShortFilter(RamStore(SIZE), seed=4, operations=[StoreOperation.READ]) as store:
        store.write(0, b"d" * 4096)
        status = lib.pv_blk_store_transfer(store.pointer, StoreOperation.READ, 0, 8, data, False)
    got = bytes(ffi.buffer(data, 4096))
    assert status == -errno.EIO
    assert got == b"d" * got.count(b"d") + bytes(4096 - got.count(b"d"))
    assert 0 < got.count(b"d") < 4096


def test_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    faulty = ErrorFilter(RamStore(SIZE), seed=1, operations=[StoreOperation.DISCARD])
    with LogFilter(faulty, path) as store:
        store.write(8, bytes(1024))
        store.read(0, 3)
        store.flush()
        with pytest.raises(OSError, match="Input/output"):
            store.discard(16, 8)
    assert path.read_text().splitlines() == [
        "0 write 8 2 0",
        "1 read 0 3 0",
        "2 flush 0 0 0",
        f"3 discard 16 8 {-errno.EIO}",
    ]


class Submission:
    """Operations in flight on a store whose time the test tells."""

    def __init__(self, store: BlockStore) -> None:
        self.store = store
        self.done: list[int] = []
        self.kept: list[object] = []
        self.complete = ffi.callback("void(struct pv_blk_io *)", self.finished)

    def finished(self, io: object) -> None:
        self.done.append(int(ffi.cast("uintptr_t", io.submitter)))  # type: ignore[attr-defined]

    def submit(self, name: int, operation: StoreOperation, sectors: int) -> None:
        io, iov = ffi.new("struct pv_blk_io *"), ffi.new("struct iovec *")
        data = ffi.new("char[]", sectors * 512)
        iov.iov_base, iov.iov_len = data, sectors * 512
        io.op, io.nr_sectors, io.iov, io.iov_count = operation, sectors, iov, int(sectors > 0)
        io.complete, io.submitter = self.complete, ffi.cast("void *", name)
        self.kept += [io, iov, data]
        self.store.pointer.ops.submit(self.store.pointer, ffi.new("struct pv_blk_io *[]", [io]), 1)

    def poll(self, now: int) -> int:
        return int(self.store.pointer.ops.poll(self.store.pointer, now))


NEVER = 2**64 - 1


def test_delay_in_virtual_time() -> None:
    with DelayFilter(RamStore(SIZE), delay=100, operations=[StoreOperation.READ]) as store:
        flight = Submission(store)
        assert flight.poll(1000) == NEVER
        flight.submit(1, StoreOperation.READ, 8)
        flight.submit(2, StoreOperation.WRITE, 8)
        assert flight.done == [2]
        assert flight.poll(1050) == 1100
        flight.submit(3, StoreOperation.READ, 8)
        assert flight.poll(1099) == 1100
        assert flight.done == [2]
        assert flight.poll(1100) == 1150
        assert flight.poll(5000) == NEVER
        assert flight.done == [2, 1, 3]


def test_jitter_reorders_and_replays() -> None:
    def run(seed: int) -> list[int]:
        with DelayFilter(RamStore(SIZE), delay=10, jitter=1000, seed=seed) as store:
            flight = Submission(store)
            flight.poll(1)
            for name in range(20):
                flight.submit(name, StoreOperation.READ, 1)
            now = 1
            while now != NEVER:
                now = flight.poll(now)
            return flight.done

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert sorted(run(1)) == list(range(20)) != run(1)


def test_close_finishes_what_is_held() -> None:
    store = DelayFilter(RateFilter(RamStore(SIZE), bytes_per_second=1), delay=10**12)
    flight = Submission(store)
    for name in range(3):
        flight.submit(name, StoreOperation.WRITE, 8)
    assert flight.done == []
    store.close()
    assert flight.done == [0, 1, 2]


def test_rate_in_virtual_time() -> None:
    second = 10**9
    with RateFilter(RamStore(SIZE), bytes_per_second=4096, burst=8192) as store:
        flight = Submission(store)
        flight.poll(100 * second)  # a long pause: one burst and no more
        for name in range(6):
            flight.submit(name, StoreOperation.WRITE, 8)
        flight.submit(6, StoreOperation.FLUSH, 0)
        assert flight.done == [0, 1, 2]  # the burst, and the one that goes into debt
        assert flight.poll(100 * second) == 101 * second
        flight.poll(101 * second)
        assert flight.done == [0, 1, 2, 3]
        flight.poll(104 * second)
        assert flight.done == [0, 1, 2, 3, 4, 5, 6]


def test_callers_mistakes(tmp_path: Path) -> None:
    for probability in (-0.1, 1.1):
        with pytest.raises(UsageError):
            ErrorFilter(RamStore(SIZE), seed=1, probability=probability)
    with pytest.raises(UsageError):
        ErrorFilter(RamStore(SIZE), seed=1, error=0)
    with pytest.raises(UsageError):
        RateFilter(RamStore(SIZE), bytes_per_second=0)
    with pytest.raises(UsageError):
        DelayFilter(RamStore(SIZE), delay=-1)
    with pytest.raises(OSError, match="No such file"):
        LogFilter(RamStore(SIZE), tmp_path / "absent" / "log")
