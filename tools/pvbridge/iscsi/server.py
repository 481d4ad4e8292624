"""The iSCSI target as a server of an asyncio program."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pvdrivers.tools.pvbridge.iscsi.connection import Connection
from pvdrivers.tools.pvbridge.iscsi.initiator import Guests
from pvdrivers.tools.pvbridge.iscsi.login import TargetInfo
from pvdrivers.tools.pvbridge.iscsi.session import Sessions


@asynccontextmanager
async def serve(
    guests: Guests, target: TargetInfo, host: str = "127.0.0.1", port: int = 3260
) -> AsyncIterator[int]:
    """Serves until the context ends; the port, which 0 leaves to the system. OSError: it is in
    use."""
    sessions = Sessions(guests)
    running: dict[Connection, asyncio.Task[None]] = {}

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(reader, writer, target, sessions)
        task = asyncio.current_task()
        assert task
        running[connection] = task
        try:
            await connection.run()
        finally:
            del running[connection]

    server = await asyncio.start_server(accept, host, port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        tasks = list(running.values())
        for connection in list(running):
            connection.close()  # which ends its task
        await asyncio.gather(*tasks)
        await sessions.close()
