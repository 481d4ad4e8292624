"""The control socket: a command in, a line out. `pvbackd status` is its client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from pvdrivers.tools.sockets import serve_unix

TIMEOUT = 10.0  # seconds a client has to ask, and a daemon to answer
COMMAND_MAX = 64  # bytes

Commands = dict[str, Callable[[], str]]


@asynccontextmanager
async def serve_control(path: str, commands: Commands) -> AsyncIterator[None]:
    """Answers commands at `path`, to this user alone."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bad_command = (asyncio.IncompleteReadError, asyncio.LimitOverrunError)
        try:
            with suppress(OSError, TimeoutError, ValueError, *bad_command):
                async with asyncio.timeout(TIMEOUT):
                    command = (await reader.readuntil(b"\n")).decode("ascii", "replace").strip()
                    told = commands.get(command, lambda: f"there is no command {command!r}")()
                    writer.write(f"{told}\n".encode("utf-8", "replace"))
                    await writer.drain()
        finally:
            writer.close()

    async with serve_unix(path, "the control socket", answer, COMMAND_MAX):
        yield


async def ask(path: str, command: str) -> str:
    """The daemon's answer. OSError: there is none."""
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(f"{command}\n".encode())
            return (await reader.read()).decode("utf-8", "replace")
        finally:
            writer.close()
