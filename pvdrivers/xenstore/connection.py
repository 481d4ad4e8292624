"""One client's connection as the store sees it: bytes in, bytes out, no I/O."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pvdrivers.xenstore.errors import ProtocolError
from pvdrivers.xenstore.transactions import StoreTransaction
from pvdrivers.xenstore.watches import StoreWatch
from pvdrivers.xenstore.wire import (
    HEADER,
    PAYLOAD_MAX,
    Decoder,
    Message,
    MessageType,
    encode,
    joined,
)

if TYPE_CHECKING:
    from pvdrivers.xenstore.domains import StoreDomain
    from pvdrivers.xenstore.store import XenStore

INPUT_MAX = 2 * (HEADER.size + PAYLOAD_MAX)  # bytes buffered before a server should stop reading
# A privileged client is not under quota, but one that never reads its events is broken.
BACKLOG_MAX = 16 * 1024 * 1024


class _Output(NamedTuple):
    data: bytes
    event: tuple[bytes, bytes] | None  # path and token; None for a reply


class Connection:
    """Servers call `receive` and `data_to_send` and set the two callbacks.

    `on_output` is called when there is something to send where nothing was; `on_close` once, with
    the peer's fault or None, when the store ends the connection.
    """

    def __init__(self, store: "XenStore", domain: "StoreDomain") -> None:
        self.store = store
        self.domain = domain
        self.transactions: dict[int, StoreTransaction] = {}
        self.watches: dict[tuple[str, bytes], StoreWatch] = {}
        self.closed = False
        self.on_output: Callable[[], None] | None = None
        self.on_close: Callable[[ProtocolError | None], None] | None = None
        self.queued = False  # in the store's queue
        self._decoder = Decoder()
        self._next: Message | None = None
        self._output: deque[_Output] = deque()
        self._sent_of_first = 0
        self._output_bytes = 0
        self._unread_replies = 0
        self._waiting_events: set[tuple[bytes, bytes]] = set()
        self._next_tx_id = 0

    def __str__(self) -> str:
        return (
            f"connection of domain {self.domain.domid}: {self._decoder.buffered} bytes in, "
            f"{len(self._output)} messages out, {self._unread_replies} unread replies"
            f"{', closed' if self.closed else ''}"
        )

    # The client's side.

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        """Takes bytes from the client; the store acts on them in its next round."""
        if not self.closed:
            self._decoder.feed(data)
            self._advance()

    def data_to_send(self, limit: int | None = None) -> bytes:
        """Takes at most `limit` bytes out of what the client should get (None: all)."""
        taken = bytearray()
        while self._output and (limit is None or len(taken) < limit):
            first = self._output[0]
            end = None if limit is None else self._sent_of_first + limit - len(taken)
            part = first.data[self._sent_of_first : end]
            taken += part
            self._sent_of_first += len(part)
            if self._sent_of_first == len(first.data):
                self._output.popleft()
                self._sent_of_first = 0
                self._taken(first)
        if taken:
            self._advance()
        return bytes(taken)

    @property
    def wants_input(self) -> bool:
        """Whether a server should read more for this client (it may always deliver what it has)."""
        return not self.closed and self._decoder.buffered < INPUT_MAX

    @property
    def has_output(self) -> bool:
        return bool(self._output)

    def close(self, fault: ProtocolError | None = None) -> None:
        """Ends it: watches, transactions and unread output are gone. May be called again."""
        if self.closed:
            return
        self.closed = True
        self.reset()
        self._drop_output()
        self.store.disconnected(self)
        if self.on_close:
            self.on_close(fault)

    # The store's side.

    def next_request(self) -> Message | None:
        """The next request; None when there is none or the client must read its replies first."""
        if self.closed or self.stalled:
            return None
        message, self._next = self._next, None
        return message

    @property
    def stalled(self) -> bool:
        """Whether the client has left too much unread to be served (XSA-326, XSA-416)."""
        domain = self.domain
        if domain.quotas.exceeded("outstanding", self._unread_replies + 1):
            return True
        if domain.privileged or not self._output:
            return False
        return domain.exceeds("memory", self.store.memory_of(domain))

    def advance(self) -> bool:
        """Parses up to the next request; whether there is one to serve now."""
        if self._next is None and not self.closed:
            try:
                self._next = self._decoder.next_message()
            except ProtocolError as error:
                self.close(error)
        return self._next is not None and not self.closed and not self.stalled

    def reply(self, request: Message, kind: int, payload: bytes) -> None:
        data = encode((kind, request.req_id, request.tx_id, payload))
        self._unread_replies += 1
        self._send(_Output(data, None))

    def send_event(self, path: bytes, token: bytes) -> None:
        """Queues an event, unless the same one waits already.

        Dropped: one that no message can hold (XSA-324), and one that the domain's memory quota
        has no room for.
        """
        payload = joined(path, token)
        key = path, token
        if self.closed or len(payload) > PAYLOAD_MAX or key in self._waiting_events:
            return
        data = encode((MessageType.WATCH_EVENT, 0, 0, payload))
        domain = self.domain
        if not domain.privileged:
            if domain.exceeds("memory", self.store.memory_of(domain) + len(data)):
                return
        elif self._output_bytes + len(data) > BACKLOG_MAX:
            self.close(ProtocolError("the client does not read its events"))
            return
        self._waiting_events.add(key)
        self._send(_Output(data, key))

    def add_transaction(self, transaction: StoreTransaction) -> int:
        """Keeps it under a new id, which is never 0."""
        while not self._next_tx_id or self._next_tx_id in self.transactions:
            self._next_tx_id = (self._next_tx_id + 1) & 0xFFFFFFFF
        self.transactions[self._next_tx_id] = transaction
        self.domain.usage.transactions += 1
        return self._next_tx_id

    def add_watch(self, watch: StoreWatch) -> None:
        self.watches[watch.key] = watch
        self.store.watches.add(watch)
        self.domain.usage.watches += 1
        self.domain.usage.watch_bytes += watch.size

    def remove_watch(self, watch: StoreWatch) -> None:
        del self.watches[watch.key]
        self.store.watches.remove(watch)
        self.domain.usage.watches -= 1
        self.domain.usage.watch_bytes -= watch.size

    def reset(self) -> None:
        """Drops all watches and transactions."""
        for watch in list(self.watches.values()):
            self.remove_watch(watch)
        for transaction in self.transactions.values():
            transaction.drop()
        self.transactions.clear()

    def _advance(self) -> None:
        if self.advance():
            self.store.ready(self)

    def _send(self, output: _Output) -> None:
        idle = not self._output
        self._output.append(output)
        self._output_bytes += len(output.data)
        self.domain.usage.output_bytes += len(output.data)
        self.store.check_soft_limit(self.domain)
        if idle and self.on_output:
            try:
                self.on_output()
            except Exception as error:  # the writer and the other watchers go on
                self.store.report_defect(error, str(self))
                self.close()

    def _taken(self, output: _Output) -> None:
        self._output_bytes -= len(output.data)
        self.domain.usage.output_bytes -= len(output.data)
        if output.event:
            self._waiting_events.discard(output.event)
        else:
            self._unread_replies -= 1

    def _drop_output(self) -> None:
        for output in self._output:
            self._taken(output)
        self._output.clear()
        self._sent_of_first = 0
