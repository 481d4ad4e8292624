"""Stores against a plain model: a bytearray."""

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.backends.stores.filters import (
    DelayFilter,
    ErrorFilter,
    LogFilter,
    RateFilter,
    TornFilter,
)
from pvdrivers.backends.stores.store import (
    BlockStore,
    FileStore,
    NullStore,
    RamStore,
    StoreOperation,
)
from pvdrivers.ring.errors import UsageError

SECTORS = 128
SIZE = SECTORS * 512


def fails_with(code: int) -> AbstractContextManager[object]:
    return pytest.raises(OSError, match=re.escape(os.strerror(code)))


def image(path: Path, size: int = SIZE) -> Path:
    path.write_bytes(bytes(size))
    return path


def file_store(folder: Path, **options: Any) -> FileStore:
    """Skips where io_uring was asked for and the kernel has none for us."""
    path = image(folder / "image")
    try:
        return FileStore(path, **options)
    except UsageError as error:
        reasons = [os.strerror(code).lower() for code in (errno.ENOSYS, errno.EPERM)]
        if options.get("engine") == "io_uring" and str(error).endswith(tuple(reasons)):
            pytest.skip("needs a kernel that lets this process use io_uring")
        raise


KINDS: dict[str, Callable[[Path], BlockStore]] = {
    "ram": lambda folder: RamStore(SIZE),
    "ram4096": lambda folder: RamStore(SIZE, 4096),
    "file": lambda folder: file_store(folder, threads=0),
    "file2": lambda folder: file_store(folder, engine="threads", threads=2),
    "uring": lambda folder: file_store(folder, engine="io_uring"),
    "direct": lambda folder: file_store(folder, engine="threads", threads=1, direct=True),
    "direct0": lambda folder: file_store(folder, threads=0, direct=True),
    "uring_direct": lambda folder: file_store(folder, engine="io_uring", direct=True),
    "uring_filtered": lambda folder: LogFilter(
        TornFilter(file_store(folder, engine="io_uring"), seed=1, probability=0), folder / "log"
    ),
    "filtered": lambda folder: DelayFilter(
        LogFilter(RateFilter(RamStore(SIZE), bytes_per_second=1 << 40), folder / "log"), delay=1
    ),
}

OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(list(StoreOperation)),
        st.integers(0, 15),
        st.integers(1, 16),
        st.binary(min_size=1, max_size=8),
    ),
    max_size=12,
)


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockStore]:
    with KINDS[request.param](tmp_path) as made:
        yield made


@pytest.mark.slow
def test_content_is_the_models(store: BlockStore) -> None:
    model = bytearray(SIZE)

    @settings(max_examples=25)
    @given(OPERATIONS)
    def run(operations: list[tuple[StoreOperation, int, int, bytes]]) -> None:
        for operation, place, length, pattern in operations:
            sector, count = place * 8, min(length, 16 - place) * 8
            start, end = sector * 512, (sector + count) * 512
            match operation:
                case StoreOperation.READ:
                    assert store.read(sector, count) == model[start:end]
                case StoreOperation.WRITE:
                    model[start:end] = (pattern * (end - start))[: end - start]
                    store.write(sector, bytes(model[start:end]))
                case StoreOperation.FLUSH:
                    store.flush()
                case StoreOperation.DISCARD:
                    store.discard(sector, count)
                    model[start:end] = bytes(end - start)
        assert store.read(0, SECTORS) == model

    run()


def test_wrong_ranges_are_the_callers_mistake(store: BlockStore) -> None:
    for sector, count in ((-1, 8), (0, 0), (SECTORS, 8), (SECTORS - 8, 16)):
        with pytest.raises(UsageError):
            store.read(sector, count)
    with pytest.raises(UsageError):
        store.write(0, b"less than a sector")


def test_describes_itself_and_closes_twice(store: BlockStore) -> None:
    assert str(SECTORS) in repr(store)
    assert "\n" not in repr(store)


def test_null_store() -> None:
    with NullStore(SIZE) as store:
        store.write(0, b"x" * 512)
        assert store.read(0, 1) == bytes(512)
        assert not store.geometry.no_data
    with NullStore(SIZE, no_data=True) as store:
        assert store.geometry.no_data
        store.write(0, b"x" * 512)


def test_closed_store_is_refused() -> None:
    store = RamStore(SIZE)
    store.close()
    store.close()
    with pytest.raises(UsageError):
        store.read(0, 1)
    assert "closed" in repr(store)


def test_filter_takes_its_store_over() -> None:
    below = RamStore(SIZE)
    with ErrorFilter(below, seed=1, probability=0) as store:
        with pytest.raises(UsageError):
            below.read(0, 1)
        assert store.read(0, 1) == bytes(512)


@pytest.mark.parametrize("size", [0, -512, 1000, 512 * 3 + 1])
def test_odd_sizes(size: int) -> None:
    for make in (NullStore, RamStore):
        with pytest.raises(UsageError, match=r"multiple of 512-byte sectors"):
            make(size)
    with pytest.raises(UsageError, match="sector size"):
        RamStore(SIZE, 768)


FULL_DISK = """
import errno, resource, signal, sys
from pvdrivers.backends.stores.store import FileStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with FileStore(sys.argv[1], threads=1, engine=sys.argv[2]) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300 * 512, 300 * 512))
    store.write(0, b"a" * 512 * 256)
    store.flush()
    try:
        store.write(256, b"b" * 512 * 256)
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


class TestFile:
    def test_unusable_paths(self, tmp_path: Path) -> None:
        for path, sentence in (
            (tmp_path / "absent", "no such file"),
            (tmp_path, "directory"),
            (image(tmp_path / "odd", 1000), "1000 bytes is not a multiple of 512-byte sectors"),
            (image(tmp_path / "empty", 0), "the file is empty"),
            (Path("/dev/null"), "neither a regular file nor a block device"),
        ):
            with pytest.raises(UsageError, match=sentence) as failure:
                FileStore(path)
            assert str(failure.value).startswith(f"{path}: ")
            assert "\n" not in str(failure.value)

    @pytest.mark.parametrize("read_only", [True, False])
    def test_a_fifo_does_not_block(self, tmp_path: Path, read_only: bool) -> None:
        path = tmp_path / "fifo"
        os.mkfifo(path)
        with pytest.raises(UsageError, match="fifo: neither a regular file nor a block device"):
            FileStore(path, read_only=read_only)
        with pytest.raises(OSError, match="LogFilter: No such device"):
            LogFilter(RamStore(SIZE), path)
        with (
            open(path, "rb", opener=lambda name, _: os.open(name, os.O_RDONLY | os.O_NONBLOCK)),
            pytest.raises(OSError, match="LogFilter: Operation not supported"),
        ):
            LogFilter(RamStore(SIZE), path)

    def test_a_lease_does_not_block(self, tmp_path: Path) -> None:
        """The kernel gives a lease's holder 45 seconds; opening a store does not wait for that."""
        path = image(tmp_path / "leased", SIZE)
        before = signal.signal(signal.SIGIO, signal.SIG_IGN)
        try:
            with path.open("r+b") as file:
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
                with pytest.raises(UsageError, match="leased: another program has a lease on it"):
                    FileStore(path)
        finally:
            signal.signal(signal.SIGIO, before)

    def test_operations_wait(self, tmp_path: Path) -> None:
        """What opening must not do: io_uring does not wait on a file that is non-blocking."""
        path = image(tmp_path / "image", SIZE)
        with FileStore(path, engine="threads"):
            links = [entry for entry in Path("/proc/self/fd").iterdir() if entry.exists()]
            (fd,) = [int(link.name) for link in links if link.samefile(path)]
            assert not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK

    def test_read_only(self, tmp_path: Path) -> None:
        path = image(tmp_path / "image")
        path.chmod(0o444)
        with FileStore(path, read_only=True) as store:
            assert store.read_only
            with fails_with(errno.EROFS):
                store.write(0, bytes(512))

    def test_discard_punches_a_hole(self, tmp_path: Path) -> None:
        size = 1 << 20
        path = tmp_path / "image"
        path.write_bytes(b"\xa5" * size)
        os.sync()
        with FileStore(path, threads=0) as store:
            if not store.geometry.can_discard:
                pytest.skip("the file system of the temporary folder has no holes")
            before = path.stat().st_blocks
            store.discard(256, 1024)
            store.flush()
        assert path.stat().st_size == size
        assert before - path.stat().st_blocks >= 1000
        with path.open("rb") as file:
            assert os.lseek(file.fileno(), 0, os.SEEK_HOLE) == 256 * 512
            assert os.lseek(file.fileno(), 256 * 512, os.SEEK_DATA) == 1280 * 512
        content = path.read_bytes()
        assert content == b"\xa5" * (256 * 512) + bytes(1024 * 512) + b"\xa5" * (768 * 512)

    def test_secure_discard_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "image"
        path.write_bytes(b"\xa5" * SIZE)
        with FileStore(path) as store:
            assert not store.geometry.can_secure_discard
            with fails_with(errno.EOPNOTSUPP):
                store.discard(0, 8, secure=True)
        assert path.read_bytes() == b"\xa5" * SIZE

    def test_grows(self, tmp_path: Path) -> None:
        path = image(tmp_path / "image")
        with ErrorFilter(FileStore(path), seed=0, probability=0) as store:
            os.truncate(path, 2 * SIZE)
            assert store.sectors == SECTORS
            store.refresh()
            assert store.sectors == 2 * SECTORS
            store.write(2 * SECTORS - 1, b"e" * 512)
            os.truncate(path, 1000)
            with pytest.raises(OSError, match="Invalid"):
                store.refresh()
        with FileStore(image(path)) as store:
            os.truncate(path, SIZE // 2)  # behind the store's back
            with fails_with(errno.EIO):
                store.read(SECTORS - 8, 8)

    @pytest.mark.parametrize("engine", ["sync", "threads", "io_uring"])
    @pytest.mark.parametrize("direct", [False, True])
    def test_reading_leaves_the_access_time(
        self, tmp_path: Path, engine: str, direct: bool
    ) -> None:
        with file_store(tmp_path, engine=engine, direct=direct) as store:
            os.utime(tmp_path / "image", (1, 2))  # read before it was written: due for an update
            store.read(0, 8)
        assert (tmp_path / "image").stat().st_atime == 1

    @pytest.mark.parametrize("engine", ["sync", "threads", "io_uring"])
    def test_full_disk_keeps_what_was_acknowledged(self, tmp_path: Path, engine: str) -> None:
        """A file size limit stands for the full disk: writes stop in the middle."""
        path = tmp_path / "image"
        file_store(tmp_path, engine=engine).close()
        os.truncate(path, 1 << 20)
        child = subprocess.run(
            [sys.executable, "-c", FULL_DISK, path, engine],
            capture_output=True,
            text=True,
            check=True,
        )
        assert child.stdout.strip() == "EFBIG"
        assert path.read_bytes()[: 256 * 512] == b"a" * 512 * 256


# ---- what a store tells beside its content --------------------------------------------------


def test_a_file_is_mapped_where_it_has_data(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(1 << 20)
    with ErrorFilter(FileStore(path, threads=0), seed=1, probability=0) as store:
        mapped, end = store.mapped(0)
        assert not mapped
        assert end >= 2048
        store.write(1024, b"\1" * 65536)
        assert store.mapped(0) == (False, 1024)
        assert store.mapped(1024) == (True, 1024 + 128)
        mapped, end = store.mapped(1024 + 128)
        assert not mapped
        assert end >= 2048
        store.discard(1024, 128)
        assert not store.mapped(1024)[0]
        store.prefetch(0, 2048)  # changes nothing that could be seen


def test_others_are_mapped_as_a_whole() -> None:
    with DelayFilter(RamStore(SIZE), delay=0) as store:
        mapped, end = store.mapped(5)
        assert mapped
        assert end >= SECTORS


def test_whether_a_discard_gives_zeros() -> None:
    assert RamStore.discard_gives_zeros
    assert FileStore.discard_gives_zeros
    assert not BlockStore.discard_gives_zeros
    with DelayFilter(RamStore(SIZE), delay=0) as store:
        assert store.discard_gives_zeros
