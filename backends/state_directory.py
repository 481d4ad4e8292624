"""The folder with what a service's successor needs to know."""

import os
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from pvdrivers.process_lock import process_lock
from pvdrivers.ring.errors import UsageError

LOCK = "lock"  # what the names of lock files begin with; each device class has its own


class StateDirectory:
    """It is used through `fd`, so that it stays the folder that was checked even when its name
    refers to another later. `fd` is open as long as anything refers to the object."""

    def __init__(self, path: Path) -> None:
        """UsageError: it belongs to another user, others can open it, or it is no folder. OSError:
        it cannot be made."""
        self.path = path
        self.fd = _open_private(path)
        weakref.finalize(self, os.close, self.fd)

    def names(self) -> list[str]:
        """Of the files that services have left, without their locks."""
        return [name for name in os.listdir(self.fd) if not name.startswith(LOCK)]

    @asynccontextmanager
    async def hold(self, kind: str) -> AsyncIterator[Self]:
        """Keeps every other service of this class out. UsageError: another process has it at
        present."""
        lock, what = Path(f"{LOCK}-{kind}"), f"the state directory {self.path}"
        async with process_lock(lock, what, dir_fd=self.fd):
            yield self


def _open_private(path: Path) -> int:
    """Opens it if it is private: a user who can write to it can deceive the next service."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageError(f"the state directory {path} is no directory: name another") from None
    if path.is_symlink():
        raise UsageError(f"the state directory {path} is a symbolic link: name {path.resolve()}")
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    info, user = os.fstat(fd), os.geteuid()
    if info.st_uid == user and not info.st_mode & 0o077:
        return fd
    os.close(fd)
    if info.st_uid != user:
        raise UsageError(
            f"the state directory {path} belongs to user {info.st_uid}, and this process is user"
            f" {user}'s: name another, or one that is not there yet"
        )
    raise UsageError(
        f"the state directory {path} is open to other users (mode {info.st_mode & 0o7777:04o}):"
        " chmod 700 it, or name another"
    )
