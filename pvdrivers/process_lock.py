"""A file that one process holds at a time, and that tells all others which process that is."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from pvdrivers.ring.errors import UsageError

PATIENCE = 1.0  # seconds: a process killed a moment ago may not have released the lock yet
INTERVAL = 0.01  # seconds


@asynccontextmanager
async def process_lock(path: Path, what: str, *, dir_fd: int | None = None) -> AsyncIterator[None]:
    """Holds `what` (a few words for the message) by a lock on the file `path`, made if need be; it
    is relative to the folder `dir_fd`, if that is given.

    The lock is the kernel's (flock), so it ends with the process, however that ends. What is in the
    file is the holder's process id, for people and for the message. The holder may remove the file
    while it has the lock; who waits for it then makes another.

    UsageError: another process holds it. OSError: there can be no such file.
    """
    fd = await _open_and_take(path, what, dir_fd)
    try:
        with suppress(OSError):  # the number is for people: a full disk must stop no daemon
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def lock_holder(path: Path) -> int | None:
    """The process that holds the lock, 0 when the file does not say which; None: none does."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _process_in(fd)
    finally:
        os.close(fd)
    return None


def _process_in(fd: int) -> int:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else 0


async def _open_and_take(path: Path, what: str, dir_fd: int | None) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        try:
            fd = os.open(path, flags, 0o600, dir_fd=dir_fd)
        except OSError as error:
            raise OSError(error.errno, f"{what}: no lock file {path}: {error.strerror}") from error
        try:
            await _take(fd, what)
            if _is_still_there(fd, path, dir_fd):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _is_still_there(fd: int, path: Path, dir_fd: int | None) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, dir_fd=dir_fd, follow_symlinks=False))
    except FileNotFoundError:
        return False


async def _take(fd: int, what: str) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if asyncio.get_running_loop().time() >= deadline:
                holder = _process_in(fd) or "unknown"
                raise UsageError(f"{what} is in use by process {holder}") from None
        await asyncio.sleep(INTERVAL)
