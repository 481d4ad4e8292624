"""The xenstore wire format (io/xs_wire.h), without any I/O.

Every message is a 16-byte little-endian header (type, req_id, tx_id, len) and `len` bytes.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from pvdrivers.xenstore.errors import ProtocolError

HEADER = struct.Struct("<IIII")
HEADER_SIZE = HEADER.size
PAYLOAD_MAX = 4096
ABS_PATH_MAX = 3072
REL_PATH_MAX = 2048


class MessageType(IntEnum):
    """Request, reply and event types; 20 was RESTRICT and is refused like an unknown type."""

    CONTROL = 0
    DIRECTORY = 1
    READ = 2
    GET_PERMS = 3
    WATCH = 4
    UNWATCH = 5
    TRANSACTION_START = 6
    TRANSACTION_END = 7
    INTRODUCE = 8
    RELEASE = 9
    GET_DOMAIN_PATH = 10
    WRITE = 11
    MKDIR = 12
    RM = 13
    SET_PERMS = 14
    WATCH_EVENT = 15
    ERROR = 16
    IS_DOMAIN_INTRODUCED = 17
    RESUME = 18
    SET_TARGET = 19
    RESET_WATCHES = 21
    DIRECTORY_PART = 22
    GET_FEATURE = 23
    SET_FEATURE = 24
    GET_QUOTA = 25
    SET_QUOTA = 26
    INVALID = 0xFFFF


class Message(NamedTuple):
    """One message; `type` is a plain number because a peer may send any."""

    type: int
    req_id: int
    tx_id: int
    payload: bytes


def encode(message: Message | tuple[int, int, int, bytes]) -> bytes:
    """The message's bytes. ValueError when the payload exceeds 4096 bytes."""
    kind, req_id, tx_id, payload = message
    length = len(payload)
    if length > PAYLOAD_MAX:
        raise ValueError(f"payload of {length} bytes exceeds {PAYLOAD_MAX}")
    return HEADER.pack(kind, req_id, tx_id, length) + payload


def strings(payload: bytes) -> list[bytes]:
    """The NUL-terminated strings of a payload; what follows the last NUL is not one."""
    return payload.split(b"\0")[:-1]


def joined(*parts: bytes) -> bytes:
    """A payload of NUL-terminated strings."""
    return b"".join(part + b"\0" for part in parts)


class Decoder:
    """Cuts a byte stream into messages; holds at most what was fed and not yet taken."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        self._buffer += data

    @property
    def buffered(self) -> int:
        """Bytes fed and not yet taken as messages."""
        return len(self._buffer)

    def next_message(self) -> Message | None:
        """The next complete message. ProtocolError when its header names an illegal length.

        The length is unsigned here, so a "negative" one is simply far too long (XSA-420).
        """
        buffer = self._buffer
        if len(buffer) < HEADER_SIZE:
            return None
        kind, req_id, tx_id, length = HEADER.unpack_from(buffer)
        if length > PAYLOAD_MAX:
            raise ProtocolError(f"message of {length} bytes exceeds {PAYLOAD_MAX}")
        end = HEADER_SIZE + length
        if len(buffer) < end:
            return None
        payload = bytes(buffer[HEADER_SIZE:end])
        del buffer[:end]
        return Message(kind, req_id, tx_id, payload)
