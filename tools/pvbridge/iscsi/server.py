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


class _Accepted(asyncio.Protocol):
    """Takes a connection's socket over, which the loop's transport then leaves alone."""

    def __init__(self, running: _Running) -> None:
        self._running = running

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        sock = transport.get_extra_info("socket").dup()
        transport.abort()
        self._running.begin(sock)


class _Running:
    """The connections that there are."""

    def __init__(self, target: TargetInfo, sessions: Sessions) -> None:
        self._target, self._sessions = target, sessions
        self._tasks: dict[Connection, asyncio.Task[None]] = {}

    def begin(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, self._target, self._sessions)
        except OSError:  # it has gone already, or there is no memory
            sock.close()
            return
        task = asyncio.get_running_loop().create_task(connection.run())
        self._tasks[connection] = task
        task.add_done_callback(lambda _: self._tasks.pop(connection))

    async def end(self) -> None:
        tasks = list(self._tasks.values())
        for connection in list(self._tasks):
            connection.close()  # which ends its task
        await asyncio.gather(*tasks)


@asynccontextmanager
async def serve(
    guests: Guests, target: TargetInfo, host: str = "127.0.0.1", port: int = 3260
) -> AsyncIterator[int]:
    """Serves until the context ends; the port, which 0 leaves to the system. OSError: it is in
    use."""
    sessions = Sessions(guests)
    running = _Running(target, sessions)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Accepted(running), host, port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await running.end()
        await sessions.close()
