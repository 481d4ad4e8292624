"""The control socket: a command in, lines out. `pvbackd status` is its client."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from pvdrivers.process_lock import process_lock
from pvdrivers.ring.errors import UsageError

TIMEOUT = 10.0  # seconds a client has to ask, and a daemon to answer
COMMAND_MAX = 64  # bytes

Commands = dict[str, Callable[[], list[str]]]


@asynccontextmanager
async def serve_control(path: str, commands: Commands) -> AsyncIterator[None]:
    """Answers commands at `path`, to this user alone."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(TIMEOUT):
                command = (await reader.readuntil(b"\n")).decode("ascii", "replace").strip()
                lines = commands.get(command, lambda: [f"there is no command {command!r}"])()
                writer.write("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
                await writer.drain()
        writer.close()

    async with process_lock(Path(f"{path}.lock"), f"the control socket {path}"):
        await _remove_stale(path)
        before = os.umask(0o077)
        try:
            server = await asyncio.start_unix_server(answer, path, limit=COMMAND_MAX)
        finally:
            os.umask(before)
        try:
            yield
        finally:
            server.close()
            with suppress(FileNotFoundError):
                os.unlink(path)


async def _remove_stale(path: str) -> None:
    """A killed daemon leaves its socket behind. UsageError: somebody answers there, or it is no
    socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise UsageError(
                f"the control socket {path}: something else is there, which is no socket"
            )
        _, writer = await asyncio.open_unix_connection(path)
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(path)
    else:
        writer.close()
        raise UsageError(f"the control socket {path}: another program answers there already")


async def ask(path: str, command: str) -> str:
    """The daemon's answer. OSError: there is none."""
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(f"{command}\n".encode())
            return (await reader.read()).decode("utf-8", "replace")
        finally:
            writer.close()
