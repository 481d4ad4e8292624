"""The server with clients that do not behave, and what becomes of their commands."""

from __future__ import annotations

import asyncio
import errno
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.frontends.scsi.command import CommandResult
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.result import HostByte, Status
from pvdrivers.tools.pvbridge.guests import Guest
from pvdrivers.tools.pvbridge.sg import server as server_module
from pvdrivers.tools.pvbridge.sg.protocol import (
    ANSWER,
    HELLO,
    MAGIC,
    NO_TIMEOUT,
    REQUEST,
    VERSION,
    WELCOME,
    Act,
    Request,
    parse_hello,
)
from pvdrivers.tools.pvbridge.sg.server import SgServer, probe

LIMIT = 4096
LUN = 5
READ, WRITE = b"\x28".ljust(10, b"\0"), b"\x2a".ljust(10, b"\0")


@dataclass
class FakeGuest:
    """Its unit reads as 0xAA; it waits for `held`, if there is that."""

    held: asyncio.Event | None = None
    commands: list[tuple[int, bytes, bytes, int, float | None]] = field(default_factory=list)
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    resets: int = 0
    can_reset: bool = True
    luns: tuple[int, ...] = (LUN,)
    max_transfer: int = LIMIT

    async def execute(
        self, lun: int, cdb: bytes, data: bytes, room: int, patience: float | None = None
    ) -> CommandResult:
        self.commands.append((lun, cdb, data, room, patience))
        if self.held:
            try:
                await self.held.wait()
            except asyncio.CancelledError:
                self.aborted.set()
                raise
        return CommandResult(Status.GOOD, data=b"\xaa" * room)

    async def reset(self, lun: int) -> bool:
        self.resets += 1
        return self.can_reset


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def welcome(self, *address: int) -> tuple[int, int, int]:
        self.writer.write(HELLO.pack(MAGIC, VERSION, *(address or (0, 0, 0, LUN))))
        error, limit, device_type = WELCOME.unpack(await self.reader.readexactly(WELCOME.size))
        return error, limit, device_type

    def send(self, cdb: bytes, data: bytes = b"", room: int = 0, timeout: int = 1500) -> None:
        self.send_request(Act.COMMAND, timeout, len(data), room, cdb)
        self.writer.write(data)

    def send_request(self, act: int, timeout: int, length: int, room: int, cdb: bytes) -> None:
        self.writer.write(REQUEST.pack(act, timeout, length, room, len(cdb), cdb))

    async def answer(self) -> CommandResult:
        header = ANSWER.unpack(await self.reader.readexactly(ANSWER.size))
        status, host, sense_length, residual, length, sense = header
        data = await self.reader.readexactly(length)
        return CommandResult(status, host, sense[:sense_length], data, residual)

    async def is_closed(self) -> bool:
        try:
            return await self.reader.read() == b""
        except ConnectionResetError:
            return True


@dataclass
class Machine:
    guest: FakeGuest
    server: SgServer
    path: Path

    async def connect(self, *, greet: bool = True) -> Client:
        client = Client(*await asyncio.open_unix_connection(self.path))
        if greet:
            assert await client.welcome() == (0, LIMIT, 8)
        return client


@asynccontextmanager
async def machine(**options: object) -> AsyncIterator[Machine]:
    guest = FakeGuest(**options)  # type: ignore[arg-type]
    server = SgServer(cast(Guest, guest), {LUN: 8})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "guest.sock"
        async with server.serve(path):
            yield Machine(guest, server, path)


def run(scenario: Callable[[Machine], Awaitable[None]], **options: object) -> None:
    async def main() -> None:
        async with machine(**options) as served:
            await scenario(served)

    asyncio.run(main())


def test_a_command_with_all_that_belongs_to_it() -> None:
    async def scenario(served: Machine) -> None:
        client = await served.connect()
        client.send(READ, room=LIMIT)
        assert (await client.answer()).data == b"\xaa" * LIMIT
        client.send(WRITE, b"x" * LIMIT, timeout=NO_TIMEOUT)
        assert (await client.answer()).good
        assert served.guest.commands == [
            (LUN, READ, b"", LIMIT, 1.5),
            (LUN, WRITE, b"x" * LIMIT, 0, None),
        ]

    run(scenario)


@pytest.mark.parametrize("can_reset", [True, False])
def test_reset(can_reset: bool) -> None:
    async def scenario(served: Machine) -> None:
        client = await served.connect()
        client.send_request(Act.RESET, 0, 0, 0, b"")
        assert (await client.answer()).host == (HostByte.OK if can_reset else HostByte.ERROR)
        assert served.guest.resets == 1

    run(scenario, can_reset=can_reset)


def test_a_longer_cdb_than_a_rings() -> None:
    async def scenario(served: Machine) -> None:
        client = await served.connect()
        client.send(bytes(17), room=8)
        assert await client.answer() == CommandResult(Status.GOOD, HostByte.ABORT, residual=8)
        assert not served.guest.commands

    run(scenario)


@pytest.mark.parametrize("address", [(0, 0, 0, 6), (1, 0, 0, LUN), (0, 1, 0, LUN), (0, 0, 1, LUN)])
def test_nothing_is_there(address: tuple[int, ...]) -> None:
    async def scenario(served: Machine) -> None:
        client = await served.connect(greet=False)
        assert (await client.welcome(*address))[0] == errno.ENOENT
        assert await client.is_closed()

    run(scenario)


def test_a_program_that_ends_has_its_command_aborted() -> None:
    async def scenario(served: Machine) -> None:
        client = await served.connect()
        client.send(READ, room=8)
        client.writer.close()
        await served.guest.aborted.wait()
        other = await served.connect()
        assert served.guest.held
        served.guest.held.set()
        other.send(READ, room=8)
        assert (await other.answer()).good

    run(scenario, held=asyncio.Event())


BAD = {
    "no hello": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "begins with 47455420"),
    "another version": (HELLO.pack(MAGIC, 2, 0, 0, 0, LUN), "version 2"),
    "an unknown act": ((3, 0, 0, 0, READ), "act 3"),
    "too much data": ((Act.COMMAND, 0, LIMIT + 1, 0, READ), "4097"),
    "too much room": ((Act.COMMAND, 0, 0, 1 << 31, READ), "2147483648"),
    "both directions": ((Act.COMMAND, 0, 1, 1, READ), "1 bytes"),
    "no CDB": ((Act.COMMAND, 0, 0, 0, b""), "a CDB of 0 bytes"),
    "a reset with data": ((Act.RESET, 0, 0, 9, b""), "RESET with data"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_protocol_ends_one_connection(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad, told = BAD[name]

    async def scenario(served: Machine) -> None:
        witness = await served.connect()
        client = await served.connect(greet=isinstance(bad, tuple))
        if isinstance(bad, tuple):
            client.send_request(*bad)
        else:
            client.writer.write(bad)
        assert await client.is_closed()
        assert served.server.refused == 1
        assert not served.guest.commands
        witness.send(READ, room=1)
        assert (await witness.answer()).good

    run(scenario)
    assert told in caplog.text


def test_one_request_at_a_time() -> None:
    """A second one before the answer ends the connection, and both commands."""

    async def scenario(served: Machine) -> None:
        client = await served.connect()
        client.send(READ, room=8)
        client.send(READ, room=8)
        assert await client.is_closed()
        assert len(served.guest.commands) == 1
        assert served.guest.aborted.is_set()

    run(scenario, held=asyncio.Event())


def test_too_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 2)

    async def scenario(served: Machine) -> None:
        first, second = await served.connect(), await served.connect()
        refused = await served.connect(greet=False)
        assert (await refused.welcome())[0] == errno.EBUSY
        first.writer.close()
        while (await (await served.connect(greet=False)).welcome())[0]:
            pass  # until it is noticed
        second.send(READ, room=1)
        assert (await second.answer()).good

    run(scenario)


def test_a_second_machine_of_a_name() -> None:
    async def scenario(served: Machine) -> None:
        second = SgServer(cast(Guest, FakeGuest()), {LUN: 8})
        with pytest.raises(UsageError, match=r"the machine .*guest\.sock is in use by process"):
            async with second.serve(served.path):
                pass
        client = await served.connect()
        client.send(READ, room=1)
        assert (await client.answer()).good

    run(scenario)


def test_what_waits_to_be_told_is_heard_before() -> None:
    attention = bytes([0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29]).ljust(18, b"\0")

    @dataclass
    class Fresh(FakeGuest):
        left: int = 2

        async def execute(
            self, lun: int, cdb: bytes, data: bytes, room: int, patience: float | None = None
        ) -> CommandResult:
            if cdb[0] == 0x12:
                return CommandResult(Status.GOOD, data=b"\x61".ljust(36, b"\0"))
            self.left -= 1
            return CommandResult(Status.CHECK_CONDITION if self.left >= 0 else 0, sense=attention)

    async def main() -> None:
        guest = Fresh()
        assert await probe(cast(Guest, guest)) == {LUN: 1}
        assert guest.left <= 0

    asyncio.run(main())


# ---- any bytes ---------------------------------------------------------------------------------


@given(st.binary(min_size=HELLO.size, max_size=HELLO.size))
def test_any_hello(data: bytes) -> None:
    try:
        address = parse_hello(data)
    except PeerError:
        assert struct.unpack("=2I", data[:8]) != (MAGIC, VERSION)
    else:
        assert data == HELLO.pack(MAGIC, VERSION, *address)
        assert isinstance(address, ScsiAddress)


words = st.sampled_from([0, 1, 2, 3, LIMIT, LIMIT + 1, NO_TIMEOUT])
requests = st.builds(
    REQUEST.pack, words, words, words, words, st.integers(0, 255), st.binary(max_size=32)
)


@given(requests | st.binary(min_size=REQUEST.size, max_size=REQUEST.size))
def test_any_request(data: bytes) -> None:
    try:
        request = Request.parse(data, LIMIT)
    except PeerError:
        return
    assert request.act in set(Act)
    assert 0 <= request.data_out <= LIMIT
    assert 0 <= request.room <= LIMIT
    assert not (request.data_out and request.room)
    assert request.act == Act.RESET or 1 <= len(request.cdb) <= 32


@settings(max_examples=50)
@given(st.lists(requests | st.binary(max_size=200), max_size=8), st.booleans())
def test_any_stream(pieces: list[bytes], greets: bool) -> None:
    """Whatever a client sends, it is answered or its connection ends, and others are served."""

    async def scenario(served: Machine) -> None:
        client = await served.connect(greet=greets)
        for piece in pieces:
            client.writer.write(piece)
        client.writer.write_eof()
        await client.is_closed()
        for lun, cdb, data, room, _ in served.guest.commands:
            assert lun == LUN
            assert 1 <= len(cdb) <= 16
            assert max(len(data), room) <= LIMIT
        served.guest.held = None
        witness = await served.connect()
        witness.send(READ, room=1)
        assert (await witness.answer()).good

    run(scenario)
