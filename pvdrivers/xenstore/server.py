"""The store's asyncio servers: a Unix socket for domain 0, and a guest's shared page."""

import asyncio
import os
import stat
from contextlib import suppress
from typing import Any, Self, cast

from pvdrivers._core import ffi, lib
from pvdrivers.ring.shared import pin
from pvdrivers.xenstore.errors import ProtocolError
from pvdrivers.xenstore.runner import StoreRunner
from pvdrivers.xenstore.store import XenStore
from pvdrivers.xenstore.transports import RING_SIZE, EventChannel

WRITE_AT_ONCE = 8192  # bytes handed to a socket before its client has to read


class SocketConnection(asyncio.Protocol):
    """One socket client. Reading pauses while it has left too much unread or unserved."""

    def __init__(self, store: XenStore, clients: "set[SocketConnection]") -> None:
        self._connection = store.connect(0)
        self._clients = clients
        self._connection.on_output = self._send_soon
        self._connection.on_close = self._closed
        self._writable = True
        self._reading = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._clients.add(self)
        self._transport.set_write_buffer_limits(high=WRITE_AT_ONCE)

    def data_received(self, data: bytes) -> None:
        self._connection.receive(data)
        self._flow()

    def eof_received(self) -> bool:
        return False  # close: replies to a client that is gone go nowhere

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clients.discard(self)
        self._connection.on_close = None
        self._connection.close()

    def close(self) -> None:
        """Ends the client's connection."""
        self._connection.close()

    def _send_soon(self) -> None:
        """Together with what else the store answers in this loop iteration."""
        asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        while self._writable and self._connection.has_output:
            self._transport.write(self._connection.data_to_send(WRITE_AT_ONCE))
        self._flow()

    def _flow(self) -> None:
        """Reads on exactly while the connection wants input."""
        if self._transport.is_closing() or self._connection.wants_input == self._reading:
            return
        self._reading = not self._reading
        if self._reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _closed(self, fault: ProtocolError | None) -> None:
        self._transport.close()


class SocketServer:
    """Listens on a Unix socket; its clients are domain 0."""

    def __init__(self, store: XenStore, path: str) -> None:
        self._store = store
        self.path = path
        self._server: asyncio.Server | None = None
        self._clients: set[SocketConnection] = set()
        self._inode = 0

    async def start(self) -> None:
        """OSError when the socket cannot be made; EADDRINUSE when a server answers there."""
        StoreRunner.attach(self._store)
        loop = asyncio.get_running_loop()
        await self._remove_stale()
        previous = os.umask(0o177)  # only the owner may connect
        try:
            self._server = await loop.create_unix_server(
                lambda: SocketConnection(self._store, self._clients), self.path
            )
        finally:
            os.umask(previous)
        self._inode = os.stat(self.path).st_ino

    async def close(self) -> None:
        """Stops listening, ends the clients and removes the socket if it is still ours."""
        if self._server is None:
            return
        self._server.close()
        for client in list(self._clients):
            client.close()
        self._server = None
        with suppress(FileNotFoundError):
            if os.stat(self.path).st_ino == self._inode:
                os.unlink(self.path)

    async def _remove_stale(self) -> None:
        """Removes a socket that a server which was killed left behind."""
        try:
            if not stat.S_ISSOCK(os.stat(self.path).st_mode):
                raise FileExistsError("it exists and is not a socket")
            _, writer = await asyncio.open_unix_connection(self.path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            os.unlink(self.path)
            return
        writer.close()
        raise OSError("a server already listens there")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


class RingConnection:
    """The server's half of a guest's shared page.

    The owner calls `handle_event` when the guest's event channel fires, or lets `serve` do that on
    the running loop. A guest that breaks the ring is ignored until it reconnects or is released
    (XSA-38, XSA-325); the page then says why.
    """

    def __init__(self, store: XenStore, domid: int, page: Any, channel: EventChannel) -> None:
        self._store = store
        self._memory, self._page = pin(page, "struct xenstore_domain_interface *")
        self._scratch = ffi.new("uint8_t[]", RING_SIZE)
        self._channel = channel
        self._domid = domid
        self._broken = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connect()
        features = store.domain(domid).features
        lib.pv_xenstore_accept(self._page, features)
        channel.notify()

    def _connect(self) -> None:
        self._connection = self._store.connect(self._domid)
        self._connection.on_output = self._send_soon
        self._connection.on_close = self._closed

    def serve(self) -> None:
        """Handles the guest's events on the running loop until `close`."""
        StoreRunner.attach(self._store)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._channel.fileno(), self._readable)
        self.handle_event()  # what the guest sent before

    def _readable(self) -> None:
        self._channel.acknowledge()
        self.handle_event()

    def handle_event(self) -> None:
        """Moves what can be moved; call when the guest notified."""
        if lib.pv_xenstore_connection(self._page) == lib.XENSTORE_RECONNECT:
            self._reconnect()
            return
        received = self._receive()
        sent = self._send()
        if received or sent:
            self._channel.notify()

    def close(self) -> None:
        """The guest is gone: nothing touches its page or event channel afterwards."""
        if self._loop:
            self._loop.remove_reader(self._channel.fileno())
            self._loop = None
        self._broken = True
        self._connection.on_close = None
        self._connection.close()

    def _reconnect(self) -> None:
        self._connection.on_close = None
        self._connection.close()
        self._broken = False
        self._connect()
        lib.pv_xenstore_accept(self._page, self._connection.domain.features)
        self._channel.notify()

    def _receive(self) -> bool:
        moved = False
        while not self._broken and self._connection.wants_input:
            count = lib.pv_xenstore_read_request(self._page, self._scratch, RING_SIZE)
            if count < 0:
                self._fail(lib.XENSTORE_ERROR_RINGIDX)
            if count <= 0:
                break
            moved = True
            self._connection.receive(bytes(ffi.buffer(self._scratch, count)))
        return moved

    def _send(self) -> bool:
        moved = False
        while not self._broken and self._connection.has_output:
            room = lib.pv_xenstore_response_room(self._page)
            if room == 0:
                break
            data = self._connection.data_to_send(room) if room > 0 else b""
            if lib.pv_xenstore_write_response(self._page, data, len(data)) < 0:
                self._fail(lib.XENSTORE_ERROR_RINGIDX)
                break
            moved = True
        return moved

    def _send_soon(self) -> None:
        """On a loop: together with what else the store answers in this iteration."""
        if self._loop:
            self._loop.call_soon(self._send_and_notify)
        else:
            self._send_and_notify()

    def _send_and_notify(self) -> None:
        sent = self._send()
        if self._receive() or sent:
            self._channel.notify()

    def _fail(self, error: int) -> None:
        self._broken = True
        lib.pv_xenstore_set_error(self._page, error)
        self._channel.notify()
        self._connection.close()

    def _closed(self, fault: ProtocolError | None) -> None:
        if fault and not self._broken:
            self._fail(lib.XENSTORE_ERROR_PROTO)
        self._broken = True
