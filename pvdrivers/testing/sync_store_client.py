"""A synchronous client of a XenStore, which may also misbehave."""

from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.permissions import Permission, parse_entries
from pvdrivers.xenstore.store import XenStore
from pvdrivers.xenstore.wire import Decoder, Message, MessageType, encode, joined, strings


class SyncStoreClient:
    """One connection to a store; each request runs the store until it is idle.

    `events` collects the watch events as (path, token).
    """

    def __init__(self, store: XenStore, domid: int = 0) -> None:
        self.store = store
        self.connection = store.connect(domid)
        self._decoder = Decoder()
        self._events: list[tuple[str, str]] = []
        self._replies: list[Message] = []
        self._req_id = 0

    def send(self, kind: int, *arguments: str | bytes, tx_id: int = 0, tail: bytes = b"") -> int:
        """Sends a request without waiting: each argument NUL-terminated, then `tail`."""
        self._req_id += 1
        parts = (part.encode() if isinstance(part, str) else part for part in arguments)
        payload = joined(*parts) + tail
        self.connection.receive(encode(Message(kind, self._req_id, tx_id, payload)))
        return self._req_id

    def collect(self) -> None:
        """Reads everything the store has for this client."""
        self._decoder.feed(self.connection.data_to_send())
        while (message := self._decoder.next_message()) is not None:
            if message.type == MessageType.WATCH_EVENT:
                path, token = strings(message.payload)
                self._events.append((path.decode(), token.decode()))
            else:
                self._replies.append(message)

    def take_events(self) -> list[tuple[str, str]]:
        """The events since the last call."""
        self.collect()
        events, self._events = self._events, []
        return events

    def take_replies(self) -> list[Message]:
        """The replies since the last call that no `request` took."""
        self.collect()
        replies, self._replies = self._replies, []
        return replies

    def request(
        self, kind: int, *arguments: str | bytes, tx_id: int = 0, tail: bytes = b""
    ) -> bytes:
        """The reply's payload. XenstoreError when the store refuses."""
        req_id = self.send(kind, *arguments, tx_id=tx_id, tail=tail)
        while self.store.run() is not None:
            pass
        self.collect()
        reply = self._replies.pop()
        if (reply.req_id, reply.tx_id) != (req_id, tx_id):
            raise AssertionError(f"reply to another request: {reply}")
        if reply.type == MessageType.ERROR:
            raise XenstoreError(reply.payload.rstrip(b"\0").decode(), str(arguments))
        if reply.type != kind:
            raise AssertionError(f"reply of another type: {reply}")
        return reply.payload

    def read(self, path: str, tx_id: int = 0) -> bytes:
        return self.request(MessageType.READ, path, tx_id=tx_id)

    def write(self, path: str, value: bytes | str = b"", tx_id: int = 0) -> None:
        tail = value.encode() if isinstance(value, str) else value
        self.request(MessageType.WRITE, path, tail=tail, tx_id=tx_id)

    def mkdir(self, path: str, tx_id: int = 0) -> None:
        self.request(MessageType.MKDIR, path, tx_id=tx_id)

    def remove(self, path: str, tx_id: int = 0) -> None:
        self.request(MessageType.RM, path, tx_id=tx_id)

    def directory(self, path: str, tx_id: int = 0) -> list[str]:
        names = strings(self.request(MessageType.DIRECTORY, path, tx_id=tx_id))
        return [name.decode() for name in names]

    def get_permissions(self, path: str, tx_id: int = 0) -> tuple[Permission, ...]:
        return parse_entries(strings(self.request(MessageType.GET_PERMS, path, tx_id=tx_id)))

    def set_permissions(self, path: str, *entries: str, tx_id: int = 0) -> None:
        self.request(MessageType.SET_PERMS, path, *entries, tx_id=tx_id)

    def watch(self, path: str, token: str = "token", *depth: str) -> None:
        self.request(MessageType.WATCH, path, token, *depth)

    def unwatch(self, path: str, token: str = "token") -> None:
        self.request(MessageType.UNWATCH, path, token)

    def begin(self) -> int:
        """Starts a transaction; its id."""
        return int(self.request(MessageType.TRANSACTION_START, "").rstrip(b"\0"))

    def commit(self, tx_id: int) -> None:
        self.request(MessageType.TRANSACTION_END, "T", tx_id=tx_id)

    def abort(self, tx_id: int) -> None:
        self.request(MessageType.TRANSACTION_END, "F", tx_id=tx_id)

    def introduce(self, domid: int) -> None:
        self.request(MessageType.INTRODUCE, str(domid), "1", "1")

    def release(self, domid: int) -> None:
        self.request(MessageType.RELEASE, str(domid))
