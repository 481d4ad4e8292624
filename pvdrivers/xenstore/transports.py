"""How a client's bytes reach a store: a Unix socket, a store in this process, a guest's page."""

import asyncio
import socket
from typing import Any, Protocol, Self, cast

from pvdrivers._core import ffi, lib
from pvdrivers.ring.shared import pin
from pvdrivers.xenstore.errors import ProtocolError
from pvdrivers.xenstore.runner import StoreRunner
from pvdrivers.xenstore.store import XenStore

RING_SIZE = 1024
RETRY = 0.005  # seconds before a server that has too many new clients is asked again


class Receiver(Protocol):
    """The client, as its transport sees it."""

    def data_received(self, data: bytes) -> None: ...

    def connection_lost(self, reason: Exception) -> None: ...


class Transport(Protocol):
    """The transport, as its client sees it."""

    def write(self, *messages: bytes) -> None:
        """Sends whole messages."""

    def close(self) -> None: ...


class EventChannel(Protocol):
    """One event channel port with a pollable handle, of any provider."""

    def fileno(self) -> int:
        """Readable while an event waits."""

    def acknowledge(self) -> None:
        """Takes the waiting event and lets the next one in."""

    def notify(self) -> None:
        """Sends an event to the peer."""


class SocketTransport(asyncio.Protocol):
    """A connection to a Unix socket; connected sockets speak for domain 0."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, path: str, receiver: Receiver) -> Self:
        """OSError when no server listens there."""
        loop = asyncio.get_running_loop()
        connected = await _connected(path)
        _, transport = await loop.create_unix_connection(lambda: cls(receiver), sock=connected)
        return transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._receiver.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = exc or ConnectionResetError("the xenstore server closed the connection")
        self._receiver.connection_lost(reason)

    def write(self, *messages: bytes) -> None:
        assert self._transport is not None
        self._transport.write(b"".join(messages))

    def close(self) -> None:
        if self._transport:
            self._transport.close()


async def _connected(path: str) -> socket.socket:
    """A socket connected to a Unix socket.

    A server with more new clients than it has room for answers EAGAIN, and nothing is under way
    then, as loops take it to be: they would go on with a socket that leads nowhere.
    """
    made = socket.socket(socket.AF_UNIX)
    made.setblocking(False)
    try:
        while True:
            try:
                made.connect(path)
                return made
            except BlockingIOError:
                await asyncio.sleep(RETRY)
    except BaseException:
        made.close()
        raise


class InProcessTransport:
    """A connection to a store that runs in the same event loop."""

    def __init__(self, store: XenStore, domid: int, receiver: Receiver) -> None:
        StoreRunner.attach(store)
        self._receiver = receiver
        self._connection = store.connect(domid)
        self._connection.on_output = self._schedule
        self._connection.on_close = self._closed

    def write(self, *messages: bytes) -> None:
        self._connection.receive(b"".join(messages))

    def close(self) -> None:
        self._connection.close()

    def _schedule(self) -> None:
        asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        data = self._connection.data_to_send()
        if data:
            self._receiver.data_received(data)

    def _closed(self, fault: ProtocolError | None) -> None:
        reason = fault or ConnectionResetError("the store closed the connection")
        self._receiver.connection_lost(reason)


class RingTransport:
    """The guest's half of a shared page.

    What the ring has no room for waits here; the server frees room and notifies. `page` is any
    writable buffer of at least 2080 bytes, which the caller keeps. A server that supports
    it is asked to reset what an earlier client of the page left half done.
    """

    def __init__(self, page: Any, channel: EventChannel, receiver: Receiver) -> None:
        self._memory, self._page = pin(page, "struct xenstore_domain_interface *")
        self._scratch = ffi.new("uint8_t[]", RING_SIZE)
        self._channel = channel
        self._receiver = receiver
        self._unsent = bytearray()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._loop.add_reader(channel.fileno(), self._event)
        if lib.pv_xenstore_features(self._page) & lib.XENSTORE_SERVER_FEATURE_RECONNECTION:
            lib.pv_xenstore_ask_reconnect(self._page)
            channel.notify()

    def write(self, *messages: bytes) -> None:
        for message in messages:
            self._unsent += message
        if self._send():
            self._channel.notify()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._channel.fileno())

    def _event(self) -> None:
        self._channel.acknowledge()
        received = self._receive()
        if self._send() or received:
            self._channel.notify()
        if not self._closed and lib.pv_xenstore_error(self._page):
            self._fail(f"the server reports error {lib.pv_xenstore_error(self._page)}")
        if received:
            self._receiver.data_received(received)

    @property
    def _reconnecting(self) -> bool:
        """Until the server has emptied the rings, which it tells by an event."""
        return bool(lib.pv_xenstore_connection(self._page) == lib.XENSTORE_RECONNECT)

    def _send(self) -> bool:
        moved = False
        while self._unsent and not self._closed and not self._reconnecting:
            part = bytes(self._unsent[:RING_SIZE])
            count = lib.pv_xenstore_write_request(self._page, part, len(part))
            if count <= 0:
                if count < 0:
                    self._fail("the server's request index is out of bounds")
                break
            del self._unsent[:count]
            moved = True
        return moved

    def _receive(self) -> bytes:
        received = bytearray()
        while not self._closed and not self._reconnecting:
            count = lib.pv_xenstore_read_response(self._page, self._scratch, RING_SIZE)
            if count <= 0:
                if count < 0:
                    self._fail("the server's response index is out of bounds")
                break
            received += ffi.buffer(self._scratch, count)
        return bytes(received)

    def _fail(self, what: str) -> None:
        self.close()
        self._receiver.connection_lost(ProtocolError(what))
