"""Which engine a file store has, and what one that was killed leaves to its successor."""

import errno
import fcntl
import mmap
import os
import random
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

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
from pvdrivers.backends.stores.python_store import PythonStore, StoreBatch
from pvdrivers.backends.stores.store import BlockStore, Engine, FileStore, RamStore
from pvdrivers.ring.errors import UsageError

SIZE = 1 << 20
SHARED_MEMORY = Path("/dev/shm")

# Denies system calls to this process as a container's policy would, then works on a store.
DENIED = """
import ctypes, os, struct, sys
from pvdrivers.backends.stores.store import FileStore

def deny(call, error):
    code = [
        (0x20, 0, 0, 0),  # load the call's number
        (0x15, 0, 1, call),  # is it this one?
        (0x06, 0, 0, 0x00050000 | error),  # then fail it
        (0x06, 0, 0, 0x7FFF0000),  # else let it pass
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    header = struct.pack("HP", len(code), ctypes.addressof(program))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(38, 1, 0, 0, 0) or prctl(22, 2, header, 0, 0):  # no new privileges; the filter
        raise OSError(ctypes.get_errno(), "no filter")

path, call, error, early = sys.argv[1], *map(int, sys.argv[2:])
if early:
    deny(call, error)
store = FileStore(path)
if not early:
    deny(call, error)
with store:
    store.write(8, b"a" * 4096)
    store.flush()
    store.discard(0, 8)
    assert store.read(0, 16) == bytes(4096) + b"a" * 4096
    print(store.engine)
"""
SETUP, ENTER = 425, 426  # io_uring's system calls, on every architecture


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(bytes(SIZE))
    try:
        FileStore(path, engine="io_uring").close()
    except UsageError:
        pytest.skip("needs a kernel that lets this process use io_uring")
    return path


@contextmanager
def loop_device(image: Path) -> Iterator[Path]:
    try:
        words = ["losetup", "--find", "--show", image]
        made = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs loop devices, and root")
    device = Path(made.stdout.strip())
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


class TestChoice:
    @pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM])
    def test_threads_where_io_uring_is_refused(self, image: Path, error: int) -> None:
        assert self.engine_with(image, SETUP, error, early=True) == "threads"

    def test_threads_carry_out_what_io_uring_refuses_later(self, image: Path) -> None:
        assert self.engine_with(image, ENTER, errno.EPERM, early=False) == "io_uring"

    def engine_with(self, image: Path, call: int, error: int, *, early: bool) -> str:
        words = [sys.executable, "-c", DENIED, image, *map(str, (call, error, int(early)))]
        child = subprocess.run(words, capture_output=True, text=True)
        if "no filter" in child.stderr:
            pytest.skip("needs a kernel with seccomp filters")
        assert child.returncode == 0, child.stderr
        return child.stdout.strip()

    def test_one_that_was_asked_for_by_name_is_not_replaced(self, image: Path) -> None:
        for engine in ("sync", "threads", "io_uring"):
            with FileStore(image, engine=engine) as store:  # type: ignore[arg-type]
                assert store.engine == engine
        with pytest.raises(UsageError, match=r"image: engine aio is not auto, sync, threads, io_"):
            FileStore(image, engine="aio")  # type: ignore[arg-type]

    def test_without_threads_nothing_is_asynchronous(self, image: Path) -> None:
        with FileStore(image, threads=0) as store:
            assert store.engine == "sync"

    def test_a_block_device_is_not_in_memory(self, image: Path) -> None:
        """Its node may lie in a tmpfs, as those in /dev do."""
        with loop_device(image) as device, FileStore(device) as store:
            assert store.engine == "io_uring"
            store.write(8, b"x" * 512)
            store.flush()
        assert image.read_bytes()[4096:4608] == b"x" * 512

    def test_a_file_in_memory_needs_neither(self) -> None:
        if not os.path.ismount(SHARED_MEMORY):
            pytest.skip("needs a tmpfs on /dev/shm")
        path = SHARED_MEMORY / f"pvdrivers-{os.getpid()}"
        try:
            path.write_bytes(bytes(SIZE))
            with FileStore(path) as store:
                assert store.engine == "sync"
        finally:
            path.unlink()


class TestOutlivingTheProcess:
    """What a backend on a real Xen must know before it lends a guest's pages."""

    @pytest.mark.parametrize(
        ("engine", "direct", "outlives"),
        [
            ("sync", False, False),
            ("threads", False, False),
            ("io_uring", False, True),
            ("io_uring", True, True),
            # NFS, for one, does not wait for the end of direct I/O when the caller is killed.
            ("sync", True, True),
            ("threads", True, True),
        ],
    )
    def test_files(self, image: Path, engine: Engine, direct: bool, outlives: bool) -> None:
        with FileStore(image, engine=engine, direct=direct) as store:
            assert store.io_outlives_process is outlives

    @pytest.mark.parametrize("engine", ["sync", "threads", "io_uring"])
    def test_block_devices(self, image: Path, engine: Engine) -> None:
        with (
            loop_device(image) as device,
            FileStore(device, engine=engine, direct=True) as store,
        ):
            assert store.io_outlives_process is (engine == "io_uring")

    def test_filters_are_as_what_they_stand_on(self, image: Path) -> None:
        filters: tuple[Callable[[BlockStore], Filter], ...] = (
            partial(DelayFilter, delay=1),
            partial(ErrorFilter, seed=1),
            partial(ShortFilter, seed=1),
            partial(TornFilter, seed=1),
            partial(RateFilter, bytes_per_second=1 << 30),
            partial(LogFilter, path=image.with_name("log")),
        )
        for make in filters:
            with make(FileStore(image, engine="io_uring")) as store:
                assert store.io_outlives_process
            with make(RamStore(SIZE)) as store:
                assert not store.io_outlives_process

    def test_python_stores_are_given_copies(self) -> None:
        with Nothing(SIZE) as store:
            assert not store.io_outlives_process

    def test_of_other_external_stores_nothing_is_known(self) -> None:
        geometry = ffi.new("struct pv_blk_geometry *", {"sectors": 8, "sector_size": 512})
        with BlockStore(lib.pv_external_store_create(geometry)) as store:
            assert store.io_outlives_process


class Nothing(PythonStore):
    def handle(self, batch: StoreBatch) -> None:
        batch.done()


BUSY, ALIVE = 1 << 61, 1 << 62


@contextmanager
def locked(path: Path, *bytes_: int) -> Iterator[None]:
    """Shared locks of an open file's own on single bytes."""
    with path.open("rb") as file:
        for byte in bytes_:
            lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, byte, 1, 0)
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
        yield


def is_busy(path: Path) -> bool:
    """Whether operations of an io_uring may be on their way to the file."""
    wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, BUSY, 1 << 32, 0)
    with path.open("rb") as file:
        kind, *_ = struct.unpack("hhqqi", fcntl.fcntl(file, fcntl.F_OFD_GETLK, wanted))
    return bool(kind != fcntl.F_UNLCK)


PART, PARTS = 1 << 20, 24  # bytes, and how many of them

# Writes as fast as it can with one byte's value, until it is killed. Aligned, as guests' pages are.
WRITER = """
import mmap, sys, threading
from pvdrivers.backends.stores.store import FileStore
path, value, direct = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
store = FileStore(path, direct=direct, engine="io_uring")
PART = 1 << 20
data = mmap.mmap(-1, PART)
data[:] = bytes([value]) * PART
def write(first):
    while True:
        store.write(first, data)
parts = range(0, store.sectors, PART // 512)
threads = [threading.Thread(target=write, args=(first,), daemon=True) for first in parts]
for thread in threads:
    thread.start()
print("writing", flush=True)
threads[0].join()
"""


@pytest.mark.slow
class TestSuccessor:
    def test_waits_for_operations_of_the_dead(self, image: Path) -> None:
        self.check_waiting(image, BUSY + 7)

    def check_waiting(self, image: Path, byte: int) -> None:
        """A store opens when the lock on that byte goes, and no earlier."""
        opened = threading.Event()

        def open_and_close() -> None:
            FileStore(image).close()
            opened.set()

        thread = threading.Thread(target=open_and_close, daemon=True)
        with locked(image, byte):
            thread.start()
            assert not opened.wait(0.1)
        thread.join()
        assert opened.is_set()

    def test_the_living_do_not_keep_each_other_out(self, image: Path) -> None:
        with (
            locked(image, BUSY + 5, ALIVE + 5),
            locked(image, BUSY + 3, ALIVE + 3),
            FileStore(image) as one,
            FileStore(image) as other,
            FileStore(image, read_only=True) as third,
        ):
            one.write(8, b"1" * 512)
            other.write(9, b"2" * 512)
            assert third.read(8, 2) == b"1" * 512 + b"2" * 512

    def test_finds_the_dead_among_the_living(self, image: Path) -> None:
        with ExitStack() as living:
            for number in (2, 7, 9, 0, 2**32 - 1):
                living.enter_context(locked(image, BUSY + number, ALIVE + number))
            self.check_waiting(image, BUSY + 8)

    def test_locks_of_others_do_not_matter(self, image: Path) -> None:
        with image.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_SH)  # the whole file and all behind it
            with locked(image, 0, 100, BUSY - 1):
                child = [sys.executable, "-c", "import sys; from pvdrivers.backends.stores.store"]
                child[-1] += " import FileStore; print(FileStore(sys.argv[1]).engine)"
                engine = subprocess.run([*child, image], capture_output=True, text=True, check=True)
        assert engine.stdout.strip() == "io_uring"

    @pytest.mark.parametrize("direct", [True, False])
    def test_nothing_lands_behind_it(self, image: Path, direct: bool, pv_seed: int) -> None:
        """A process is killed in the middle of writing, and another one writes at once."""
        chance, page = random.Random(pv_seed), mmap.mmap(-1, 4096)
        os.truncate(image, PARTS * PART)
        for value in range(1, 11):
            words = [sys.executable, "-c", WRITER, image, str(value), str(direct)]
            with subprocess.Popen(words, stdout=subprocess.PIPE) as writer:
                assert writer.stdout
                assert writer.stdout.readline() == b"writing\n"
                time.sleep(0.05 + chance.random() * 0.02)
                writer.kill()
                writer.wait()
            page[:] = bytes([0x80 + value]) * len(page)
            with FileStore(image, direct=direct, engine="threads") as store:
                assert not is_busy(image)
                for part in range(PARTS):
                    store.write(((part + 1) * PART - len(page)) // 512, page)  # type: ignore[arg-type]
            time.sleep(0.1)
            with image.open("rb") as file:
                for part in range(PARTS):
                    file.seek((part + 1) * PART - len(page))
                    assert file.read(len(page)) == page[:]
