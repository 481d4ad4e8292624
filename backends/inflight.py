"""The in-flight logs of a device's queues, in a file where a killed backend's successor looks."""

import errno
import logging
import os
import stat
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple, Self

from pvdrivers._core import ffi, lib
from pvdrivers.backends.state_directory import StateDirectory

log = logging.getLogger("pvdrivers.backends")

OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LogMemory(NamedTuple):
    """Where a queue keeps its in-flight log."""

    address: Any  # uint8_t *; NULL: memory of the queue's own
    size: int  # bytes

    @classmethod
    def none(cls, size: int) -> Self:
        return cls(ffi.NULL, size)


class InflightFile:
    """A file that only this user can open, mapped shared. What was stored in it is there after the
    process was killed, on any file system. Guests end with the machine, so the file need not
    survive that. When the file is truncated, this process goes on (`is_lost`), and its successor
    works as if there were no log.
    """

    def __init__(self, folder: StateDirectory, name: str) -> None:
        self.path = folder.path / name
        self._folder = folder
        self._map: Any = None
        self._size = 0

    @property
    def is_lost(self) -> bool:
        """Whether some of the file is gone, so that a successor will not believe it."""
        return self._map is not None and bool(lib.pv_file_map_is_lost(self._map))

    def map(self, sizes: Sequence[int]) -> list[LogMemory]:
        """A log of each size, as an earlier backend left it or all zero. They are there until
        `clear`, or until `map` is asked for other sizes.

        When there can be no file, the queues have logs of their own, which end with them.
        """
        size = sum(sizes)
        if self._map is None or self._size != size:
            self._map = None
            try:
                self._map, self._size = self._open(size), size
            except OSError as error:
                log.warning(
                    "%s: without an in-flight file a crash resets this connection: %s",
                    self.path,
                    error,
                )
                return [LogMemory.none(size) for size in sizes]
        start = ffi.cast("uint8_t *", lib.pv_file_map_memory(self._map))
        offsets = accumulate(sizes, initial=0)
        return [
            LogMemory(start + offset, size) for offset, size in zip(offsets, sizes, strict=False)
        ]

    def _open(self, size: int) -> Any:
        earlier = self._open_earlier(size)
        if earlier is None:
            self._unlink()
        fd = earlier if earlier is not None else self._create()
        try:
            os.posix_fallocate(fd, 0, size)  # a store into a full file system would raise SIGBUS
            file_map = lib.pv_file_map_create(fd, size)
            if file_map == ffi.NULL:
                raise OSError(ffi.errno, os.strerror(ffi.errno))
            return ffi.gc(file_map, lib.pv_file_map_destroy)
        except OSError:
            if earlier is None:
                self._unlink()  # its blocks are needed elsewhere
            raise
        finally:
            os.close(fd)

    def _create(self) -> int:
        flags = OPEN | os.O_CREAT | os.O_EXCL
        return os.open(self.path.name, flags, 0o600, dir_fd=self._folder.fd)

    def _open_earlier(self, size: int) -> int | None:
        """The file that an earlier backend has left, if it can be trusted."""
        try:
            fd = os.open(self.path.name, OPEN, dir_fd=self._folder.fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            problem = "it is a symbolic link"
        else:
            problem = _problem_of(os.fstat(fd), size)
            if not problem:
                return fd
            os.close(fd)
        log.warning("%s: the in-flight log is not used: %s", self.path, problem)
        return None

    def clear(self) -> None:
        """Forgets everything; no queue may be using it."""
        self._map = None
        try:
            self._unlink()
        except OSError as error:
            log.warning("%s: %s", self.path, error)

    def _unlink(self) -> None:
        try:
            os.unlink(self.path.name, dir_fd=self._folder.fd)
        except FileNotFoundError:
            return


def _problem_of(info: os.stat_result, size: int) -> str:
    """What keeps a file from being a log of `size` bytes; "" if nothing does."""
    if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1:
        return "it is not a regular file with one name"
    if info.st_uid != os.geteuid() or info.st_mode & 0o077:
        return "other users own it or can open it"
    return "" if info.st_size == size else f"it has {info.st_size} bytes instead of {size}"
