"""The control socket: a command in, lines out. `pvbackd status` is its client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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


async def ask(path: str, command: str) -> str:
    """The daemon's answer. OSError: there is none."""
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(f"{command}\n".encode())
            return (await reader.read()).decode("utf-8", "replace")
        finally:
            writer.close()
