"""The asyncio xenstore client that all drivers use.

    client = await XenstoreClient.connect()            # a socket: pvstored or a real xenstored
    client = XenstoreClient.in_process(store, domid)   # a XenStore in this event loop
    client = XenstoreClient.over_ring(page, channel)   # a guest's shared page
    client = XenstoreClient.over_device()              # the kernel's /dev/xen/xenbus

A refused request raises XenstoreError (an OSError). When the connection is gone, requests raise
ConnectionResetError and watches end with it.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self, TypeVar

from pvdrivers.xenstore.client_watch import Watch
from pvdrivers.xenstore.errors import ProtocolError, XenstoreError
from pvdrivers.xenstore.kernel_device import DeviceTransport
from pvdrivers.xenstore.operations import Ask, Operations, text
from pvdrivers.xenstore.store import XenStore
from pvdrivers.xenstore.transports import (
    EventChannel,
    InProcessTransport,
    RingTransport,
    SocketTransport,
    Transport,
)
from pvdrivers.xenstore.wire import PAYLOAD_MAX, Decoder, Message, MessageType, encode, strings

__all__ = ["Operations", "Transaction", "Watch", "XenstoreClient"]

DEFAULT_SOCKET = "/run/xenstored/socket"
DEFAULT_DEVICE = "/dev/xen/xenbus"
TRANSACTION_ATTEMPTS = 64

T = TypeVar("T")


class Transaction(Operations):
    """The tree as it was when the transaction started, and this transaction's changes to it."""

    def __init__(self, client: "XenstoreClient", tx_id: int) -> None:
        self._client = client
        self.id = tx_id

    def _send(self, asked: Sequence[Ask]) -> "list[asyncio.Future[bytes]]":
        return self._client._send_in(self.id, asked)


class XenstoreClient(Operations):
    """One connection to a xenstore; requests of many tasks may be in flight at once."""

    def __init__(self) -> None:
        self._transport: Transport | None = None
        self._decoder = Decoder()
        self._replies: dict[int, tuple[asyncio.Future[bytes], MessageType, bytes]] = {}
        self._watches: dict[str, Watch] = {}
        self._next_req_id = 0
        self._next_token = 0
        self._lost: Exception | None = None

    @classmethod
    async def connect(cls, path: str | os.PathLike[str] | None = None) -> Self:
        """Over a Unix socket: `path`, or $XENSTORED_PATH, or /run/xenstored/socket."""
        client = cls()
        where = path or os.environ.get("XENSTORED_PATH") or DEFAULT_SOCKET
        client._transport = await SocketTransport.open(os.fspath(where), client)
        return client

    @classmethod
    def in_process(cls, store: XenStore, domid: int = 0) -> Self:
        """Straight to a store in the running event loop: no thread, no clock, no socket."""
        client = cls()
        client._transport = InProcessTransport(store, domid, client)
        return client

    @classmethod
    def over_ring(cls, page: Any, channel: EventChannel) -> Self:
        """From a guest over its xenstore page (a writable buffer of at least 2080 bytes)."""
        client = cls()
        client._transport = RingTransport(page, channel, client)
        return client

    @classmethod
    def over_device(cls, path: str | os.PathLike[str] = DEFAULT_DEVICE) -> Self:
        """Through the kernel, from any domain. OSError when the device cannot be opened."""
        client = cls()
        client._transport = DeviceTransport.open(os.fspath(path), client)
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; the server drops its watches and transactions."""
        if self._transport and not self._lost:
            self._transport.close()
        self.connection_lost(ConnectionResetError("the xenstore connection was closed"))

    # What a transport calls.

    def data_received(self, data: bytes) -> None:
        self._decoder.feed(data)
        try:
            while (message := self._decoder.next_message()) is not None:
                self._dispatch(message)
        except ProtocolError as error:
            if self._transport:
                self._transport.close()
            self.connection_lost(error)

    def connection_lost(self, reason: Exception) -> None:
        if self._lost:
            return
        self._lost = reason
        for future, *_ in self._replies.values():
            if not future.done():
                future.set_exception(ConnectionResetError(str(reason)))
        self._replies.clear()
        for watch in self._watches.values():
            watch.connection_lost(reason)

    # Requests.

    async def request(self, kind: MessageType, payload: bytes, tx_id: int = 0) -> bytes:
        """One request and its reply's payload. XenstoreError when refused, E2BIG when too long."""
        return await self._send_one(kind, payload, tx_id)

    def _send(self, asked: Sequence[Ask]) -> "list[asyncio.Future[bytes]]":
        return self._send_in(0, asked)

    def _send_one(self, kind: MessageType, payload: bytes, tx_id: int) -> "asyncio.Future[bytes]":
        return self._send_in(tx_id, [(kind, payload)])[0]

    def _send_in(self, tx_id: int, asked: Sequence[Ask]) -> "list[asyncio.Future[bytes]]":
        if self._lost or self._transport is None:
            raise ConnectionResetError(str(self._lost or "not connected"))
        for kind, payload in asked:
            if len(payload) > PAYLOAD_MAX:
                raise XenstoreError("E2BIG", f"{kind.name} of {len(payload)} bytes")
        new_future = asyncio.get_running_loop().create_future
        futures: list[asyncio.Future[bytes]] = []
        messages = []
        for kind, payload in asked:
            req_id = self._free_req_id()
            future = new_future()
            futures.append(future)
            self._replies[req_id] = future, kind, payload
            messages.append(encode((kind, req_id, tx_id, payload)))
        self._transport.write(*messages)
        return futures

    def _post(self, kind: MessageType, payload: bytes, tx_id: int = 0) -> None:
        """Sends a request whose reply is not waited for."""
        with suppress(ConnectionResetError):
            future = self._send_one(kind, payload, tx_id)
            future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _abort_started(self, started: "asyncio.Future[bytes]") -> None:
        if not started.cancelled() and not started.exception():
            self._post(MessageType.TRANSACTION_END, b"F\0", int(started.result().rstrip(b"\0")))

    def _free_req_id(self) -> int:
        while True:
            self._next_req_id = (self._next_req_id + 1) & 0xFFFFFFFF
            # 0 is the id of events.
            if self._next_req_id and self._next_req_id not in self._replies:
                return self._next_req_id

    def _dispatch(self, message: Message) -> None:
        if message.type == MessageType.WATCH_EVENT:
            self._watch_event(message)
            return
        if message.req_id not in self._replies:
            raise ProtocolError(f"reply to no request: req_id {message.req_id}")
        future, kind, payload = self._replies.pop(message.req_id)
        if future.done():  # the task that asked was cancelled
            return
        if message.type == MessageType.ERROR:
            name = message.payload.rstrip(b"\0").decode("latin-1")
            about = payload.partition(b"\0")[0].decode("latin-1")
            future.set_exception(XenstoreError(name, f"{kind.name} {about}"))
        else:
            future.set_result(message.payload)

    def _watch_event(self, message: Message) -> None:
        fields = strings(message.payload)
        if len(fields) < 2:
            raise ProtocolError("watch event without path and token")
        watch = self._watches.get(fields[1].decode("utf-8", "surrogateescape"))
        if watch:  # an event may cross our UNWATCH
            watch.fired(fields[0].decode("latin-1"))

    # Watches.

    async def watch(
        self,
        path: str,
        token: str | None = None,
        depth: int | None = None,
        on_event: Callable[[], None] | None = None,
    ) -> Watch:
        """Watches `path` and what is below it, `depth` levels deep (None: all).

        `token` must differ from this client's other tokens (ValueError); None makes one up.
        `on_event` is called at every event, and when the connection is gone, and nothing waits to
        be iterated over then.
        """
        if token is None:
            self._next_token += 1
            token = f"pv{self._next_token}"
        if token in self._watches:
            raise ValueError(f"token {token!r} is in use")
        watch = Watch(path, token, self._unwatch, on_event)
        payload = text(path) + text(token) + (b"" if depth is None else text(str(depth)))
        self._watches[token] = watch  # before the reply: the first event comes right behind it
        try:
            await self._send_one(MessageType.WATCH, payload, 0)
        except BaseException as error:
            del self._watches[token]
            if not isinstance(error, OSError):  # cancelled: the server may have it by now
                self._post(MessageType.UNWATCH, text(path) + text(token))
            raise
        return watch

    def _unwatch(self, watch: Watch) -> None:
        # The reply is not needed, and a store that has died would never send it.
        if self._watches.pop(watch.token, None):
            self._post(MessageType.UNWATCH, text(watch.path) + text(watch.token))

    # Transactions.

    @asynccontextmanager
    async def transaction(self, commit: bool = True) -> AsyncIterator[Transaction]:
        """Commits at the end of the block, aborts when it raises.

        Without `commit` it is only for looking at the tree as it was at one moment.

        XenstoreError EAGAIN from the commit: something the transaction read or wrote has been
        changed meanwhile and nothing of it happened; `transact` retries.
        """
        started = self._send_one(MessageType.TRANSACTION_START, b"\0", 0)
        try:
            reply = await asyncio.shield(started)
        except asyncio.CancelledError:
            started.add_done_callback(self._abort_started)
            raise
        transaction = Transaction(self, int(reply.rstrip(b"\0")))
        try:
            yield transaction
        except BaseException:
            self._post(MessageType.TRANSACTION_END, b"F\0", transaction.id)
            raise
        if commit:
            await self._send_one(MessageType.TRANSACTION_END, b"T\0", transaction.id)
        else:
            self._post(MessageType.TRANSACTION_END, b"F\0", transaction.id)

    async def transact(
        self,
        body: Callable[[Transaction], Awaitable[T]],
        attempts: int = TRANSACTION_ATTEMPTS,
    ) -> T:
        """Runs `body` in a transaction, again and again while it conflicts, at most `attempts`."""
        for attempt in range(1, attempts + 1):
            try:
                async with self.transaction() as transaction:
                    return await body(transaction)
            except XenstoreError as error:
                if error.name != "EAGAIN" or attempt == attempts:
                    raise
        raise ValueError("attempts must be at least 1")

    # Domains.

    async def get_domain_path(self, domid: int) -> str:
        """/local/domain/<domid>"""
        reply = await self._request(MessageType.GET_DOMAIN_PATH, text(str(domid)))
        return reply.rstrip(b"\0").decode()

    async def introduce(self, domid: int, gfn: int, port: int) -> None:
        """Tells the store of a new domain: its ring page's frame and event channel (dom0 only)."""
        payload = b"".join(text(str(number)) for number in (domid, gfn, port))
        await self._request(MessageType.INTRODUCE, payload)

    async def release(self, domid: int) -> None:
        """Tells the store that a domain is gone (dom0 only)."""
        await self._request(MessageType.RELEASE, text(str(domid)))

    async def resume(self, domid: int) -> None:
        """Lets @releaseDomain fire again at the domain's next shutdown (dom0 only)."""
        await self._request(MessageType.RESUME, text(str(domid)))

    async def is_domain_introduced(self, domid: int) -> bool:
        reply = await self._request(MessageType.IS_DOMAIN_INTRODUCED, text(str(domid)))
        return reply == b"T\0"

    async def set_target(self, domid: int, target: int) -> None:
        """Gives `domid` (a device model's stub domain) the rights of `target` (dom0 only)."""
        await self._request(MessageType.SET_TARGET, text(str(domid)) + text(str(target)))

    async def reset_watches(self) -> None:
        """Drops all watches and transactions of this connection at the server."""
        await self._request(MessageType.RESET_WATCHES, b"\0")
        self._watches.clear()

    async def control(self, command: str, parameters: Sequence[str] = ()) -> str:
        """A command to the server itself, such as "check" or "help"."""
        payload = b"".join(text(word) for word in (command, *parameters))
        return (await self._request(MessageType.CONTROL, payload)).rstrip(b"\0").decode()
