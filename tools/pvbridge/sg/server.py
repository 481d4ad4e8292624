"""A guest's logical units for programs with libpvsg.so."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from pvdrivers.frontends.scsi.command import MAX_CDB, CommandResult
from pvdrivers.ring.errors import PeerError
from pvdrivers.scsi.result import HostByte, Status
from pvdrivers.scsi.sense import SenseKey
from pvdrivers.tools.pvbridge.guests import Guest
from pvdrivers.tools.pvbridge.sg.protocol import (
    ANSWER,
    HELLO,
    REQUEST,
    WELCOME,
    Act,
    Request,
    parse_hello,
)
from pvdrivers.tools.sockets import serve_unix

MAX_CONNECTIONS = 256  # each has room for one command's data
BUFFER = 1 << 20  # bytes that are read from a connection before somebody wants them
PROBES = 8  # as often as a unit may have something to tell before it is used
TEST_UNIT_READY = bytes(6)
INQUIRY = bytes.fromhex("12 00 00 00 24 00")
STANDARD_INQUIRY, UNKNOWN_TYPE = 36, 0x1F
LOG = logging.getLogger(__name__)


async def probe(guest: Guest) -> dict[int, int]:
    """The device type of each LUN. As an operating system does when it finds a unit, it also hears
    what waits to be told of the unit's power-on, so that no program has to."""
    types = {}
    for lun in guest.luns:
        data = (await guest.execute(lun, INQUIRY, b"", STANDARD_INQUIRY)).data
        types[lun] = data[0] & 0x1F if data else UNKNOWN_TYPE
        for _ in range(PROBES):
            sense = (await guest.execute(lun, TEST_UNIT_READY, b"", 0)).parsed_sense
            if sense is None or sense.key != SenseKey.UNIT_ATTENTION:
                break
    return types


class SgServer:
    """One guest's. A connection is a program's that need not behave: it may end at any time, and
    what it has under way is aborted; what is no protocol ends it alone."""

    def __init__(self, guest: Guest, types: Mapping[int, int]) -> None:
        self._guest = guest
        self._types = types
        self._connections: set[asyncio.Task[None]] = set()
        self.refused = 0  # connections that broke the protocol

    @asynccontextmanager
    async def serve(self, path: Path) -> AsyncIterator[None]:
        """UsageError: another process has the socket, or there can be none."""
        async with serve_unix(str(path), "the machine", self._answer, BUFFER):
            try:
                yield
            finally:
                for task in self._connections:
                    task.cancel()
                await asyncio.gather(*self._connections, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except PeerError as error:
            self.refused += 1
            LOG.warning("%s: its connection is closed", error)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # nobody is there to be answered
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = parse_hello(await reader.readexactly(HELLO.size))
        error = 0
        if len(self._connections) > MAX_CONNECTIONS:
            error = errno.EBUSY
        elif address[:3] != (0, 0, 0) or address.lun not in self._types:
            error = errno.ENOENT
        device_type = self._types.get(address.lun, 0)
        limit = self._guest.max_transfer
        writer.write(WELCOME.pack(error, limit, device_type))
        while not error:
            await writer.drain()
            request = Request.parse(await reader.readexactly(REQUEST.size), limit)
            data = await reader.readexactly(request.data_out)
            result = await self._execute(address.lun, request, data, reader)
            if result is None:
                return
            writer.write(_answer(result))
            writer.write(result.data)

    async def _execute(
        self, lun: int, request: Request, data: bytes, reader: asyncio.StreamReader
    ) -> CommandResult | None:
        """None: its program is gone, or has not waited for the answer."""
        running = asyncio.ensure_future(self._carry_out(lun, request, data))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait([running, gone], return_when=asyncio.FIRST_COMPLETED)
            return None if gone.done() else running.result()
        finally:
            for task in (running, gone):
                task.cancel()
            await asyncio.wait([running, gone])

    async def _carry_out(self, lun: int, request: Request, data: bytes) -> CommandResult:
        if request.act == Act.RESET:
            done = await self._guest.reset(lun)
            return CommandResult(Status.GOOD, HostByte.OK if done else HostByte.ERROR)
        if len(request.cdb) > MAX_CDB:  # what Linux makes of one that its host cannot send
            return CommandResult(Status.GOOD, HostByte.ABORT, residual=len(data) or request.room)
        return await self._guest.execute(lun, request.cdb, data, request.room, request.timeout)


def _answer(result: CommandResult) -> bytes:
    status, host, sense, data, residual = result
    return ANSWER.pack(status, host, len(sense), residual, len(data), sense)
