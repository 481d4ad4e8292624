"""Unix sockets that have a name, for one daemon at a time."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from pvdrivers.process_lock import process_lock
from pvdrivers.ring.errors import UsageError

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serve_unix(path: str, what: str, answer: Answer, limit: int) -> AsyncIterator[None]:
    """Serves connections to a socket at `path`, of this user alone; `what` it is, for messages. A
    line of more than `limit` bytes is not read.

    UsageError: there can be no socket, it is another process's, or something else is there.
    """
    folder = Path(path).parent
    if not folder.is_dir():
        raise UsageError(f"{what} {path}: there is no folder {folder}: make it, or name another")
    async with process_lock(Path(f"{path}.lock"), f"{what} {path}"):
        await _remove_stale(path, what)
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(answer, path, limit=limit)
        except OSError as error:
            raise UsageError(f"{what} {path}: {error.strerror or error}") from error
        finally:
            os.umask(before)
        try:
            yield
        finally:
            server.close()
            with suppress(FileNotFoundError):
                os.unlink(path)


async def _remove_stale(path: str, what: str) -> None:
    """Removes the socket that a killed daemon left behind."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise UsageError(f"{what} {path}: a file is there that is no socket")
        _, writer = await asyncio.open_unix_connection(path)
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(path)
    except OSError as error:
        raise UsageError(f"{what} {path}: {error.strerror or error}") from error
    else:
        writer.close()
        raise UsageError(f"{what} {path}: another program answers there: name another")
