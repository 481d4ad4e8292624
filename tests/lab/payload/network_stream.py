"""A TCP connection that goes on while things happen to the network under it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from addresses import Family
from guest import GuestShell

STREAM_PORT = 7008
CHUNK = 32 << 10
PATIENCE = 300  # seconds; after an outage TCP waits up to twice as long as that was


class EchoedStream:
    """Random bytes that the guest sends back; each is compared as it comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.returned = 0  # bytes
        self._reader, self._writer = reader, writer
        self._content = os.urandom(CHUNK)
        self._stopped = asyncio.Event()
        self._tasks = [asyncio.ensure_future(self._send()), asyncio.ensure_future(self._receive())]

    async def _send(self) -> None:
        while not self._stopped.is_set():
            self._writer.write(self._content)
            await self._writer.drain()
        self._writer.write_eof()

    async def _receive(self) -> None:
        while came := await self._reader.read(CHUNK):
            start = self.returned % CHUNK
            assert came == (self._content + self._content)[start : start + len(came)]
            self.returned += len(came)

    async def goes_on(self) -> None:
        """Until more than what may have been under way has come."""
        enough = self.returned + 16 * CHUNK
        async with asyncio.timeout(PATIENCE):
            while self.returned < enough:
                for task in self._tasks:
                    assert not task.done(), task
                await asyncio.sleep(0.2)

    async def finish(self) -> None:
        """Until all has come."""
        self._stopped.set()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*self._tasks)
        assert self.returned % CHUNK == 0
        self._writer.close()

    def abort(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._writer.transport.abort()


@asynccontextmanager
async def echoed(shell: GuestShell, family: Family) -> AsyncIterator[EchoedStream]:
    """A connection for the time of a block, whose end is that all has come back."""
    connected: asyncio.Future[EchoedStream] = asyncio.get_running_loop().create_future()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set_result(EchoedStream(reader, writer))

    port = STREAM_PORT + family.version
    async with await asyncio.start_server(accepted, family.dom0, port):
        await shell.start(f"nc {family.dom0} {port} -e cat")
        async with asyncio.timeout(PATIENCE):
            stream = await connected
        try:
            yield stream
            await stream.finish()
        finally:
            stream.abort()
        print(f"    IPv{family.version}: {stream.returned >> 10} KiB there and back", flush=True)
