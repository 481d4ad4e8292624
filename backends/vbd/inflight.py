"""The in-flight logs of a disk's queues, in a file where a killed backend's successor looks."""

import logging
import mmap
import os
from collections.abc import Sequence
from typing import Any

from pvdrivers.backends.vbd.state_directory import StateDirectory
from pvdrivers.ring._core import ffi

log = logging.getLogger("pvdrivers.backends.vbd")


class InflightFile:
    """A file of this user's alone, mapped shared. What was stored in it is there after the process
    was killed, on whatever file system; what the machine's end does to it does not matter, since
    its guests end with it.
    """

    def __init__(self, folder: StateDirectory, name: str) -> None:
        self.path = folder.path / name
        self._folder = folder
        self._memory: mmap.mmap | None = None

    def map(self, sizes: Sequence[int]) -> list[Any]:
        """A log of so many bytes for each queue, as an earlier backend left it or all zero. They
        are there until `clear`, or until the next call.

        When there can be no file, the queues have logs of their own, which end with them.
        """
        try:
            self._memory = self._open(sum(sizes))
        except OSError as error:
            log.warning("%s: a kill of this process will not go unnoticed: %s", self.path, error)
            return [ffi.NULL] * len(sizes)
        whole = memoryview(self._memory)
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        return [
            ffi.from_buffer(whole[end - size : end]) for size, end in zip(sizes, ends, strict=True)
        ]

    def _open(self, size: int) -> mmap.mmap:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.path.name, flags, 0o600, dir_fd=self._folder.fd)
        try:
            if os.fstat(fd).st_size != size:  # another connection's, or one that came to nothing
                os.ftruncate(fd, 0)
                os.posix_fallocate(fd, 0, size)  # a store into a full file system would be a crash
            return mmap.mmap(fd, size)
        finally:
            os.close(fd)

    def clear(self) -> None:
        """Forgets everything; no queue may be using it."""
        self._memory = None
        try:
            os.unlink(self.path.name, dir_fd=self._folder.fd)
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("%s: %s", self.path, error)
