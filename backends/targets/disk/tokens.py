"""ROD tokens: names of what a disk's blocks were at a time, by which they can be copied later
(SPC-4 5.17.6).

They are of the type "point in time copy, change vulnerable": nothing is copied when one is made,
and it is revoked by the first write to its blocks.
"""

from __future__ import annotations

import secrets
import struct
import time
from collections import OrderedDict
from collections.abc import Sequence

from pvdrivers.backends.targets.command import CheckCondition, illegal_request
from pvdrivers.scsi.block_range import BlockRange

CHANGE_VULNERABLE, ZERO = 0x00800001, 0xFFFF0001  # ROD types
TOKEN_SIZE = 512
DEFAULT_TIMEOUT, MAX_TIMEOUT = 60, 600  # seconds without use
MAX_TOKENS = 64  # of a disk; then the oldest goes

UNSUPPORTED_TYPE, UNKNOWN, REVOKED = (0x23, 0x01), (0x23, 0x04), (0x23, 0x06)
INVALID_LENGTH = (0x23, 0x0A)

_CREATOR = 16  # where a token has the descriptor of the disk that made it


class Token:
    """`ranges`: of the disk that made it, in the order in which they are copied."""

    def __init__(self, ranges: Sequence[BlockRange], timeout: int, creator: bytes, size: int):
        self.ranges = list(ranges)
        self.blocks = sum(one.blocks for one in ranges)
        self.timeout = timeout
        self.is_revoked = False
        number = secrets.token_bytes(8)
        head = struct.pack(">IHH8s", CHANGE_VULNERABLE, 0, TOKEN_SIZE - 8, number)
        told = head + creator + (self.blocks * size).to_bytes(16, "big")
        self.encoded = told.ljust(128, b"\0") + secrets.token_bytes(32).ljust(384, b"\0")
        self.use()

    def use(self) -> None:
        self.used = time.monotonic()

    @property
    def is_expired(self) -> bool:
        return time.monotonic() - self.used > self.timeout

    def overlaps(self, lba: int, count: int) -> bool:
        return any(lba < one.lba + one.blocks and one.lba < lba + count for one in self.ranges)

    def parts(self, offset: int, count: int) -> list[BlockRange]:
        """Where `count` of its blocks are, from the block `offset` on."""
        found = []
        for lba, blocks in self.ranges:
            part = min(max(blocks - offset, 0), count)
            if part:
                found.append(BlockRange(lba + offset, part))
            offset, count = max(offset - blocks, 0), count - part
        return found


class Tokens:
    """Those of one disk. They end with the process, and then are unknown."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[bytes, Token] = OrderedDict()

    def add(self, token: Token) -> None:
        self._tokens[token.encoded] = token
        if len(self._tokens) > MAX_TOKENS:
            self._tokens.popitem(last=False)

    def find(self, encoded: bytes) -> Token:
        """CheckCondition: it is no good, or no good any more."""
        self._drop_expired()
        token = self._tokens.get(encoded)
        if token is None:
            raise illegal_request(UNKNOWN)
        self.check(token)
        token.use()
        return token

    @staticmethod
    def check(token: Token) -> None:
        if token.is_revoked:
            raise illegal_request(REVOKED)

    def delete(self, token: Token) -> None:
        self._tokens.pop(token.encoded, None)

    def changing(self, lba: int, count: int) -> None:
        """These blocks are about to be written, by any thread."""
        for token in list(self._tokens.values()):
            if token.overlaps(lba, count):
                token.is_revoked = True

    @property
    def are_there(self) -> bool:
        """Whether a write could revoke one."""
        self._drop_expired()
        return any(not token.is_revoked for token in list(self._tokens.values()))

    def _drop_expired(self) -> None:
        for token in [one for one in list(self._tokens.values()) if one.is_expired]:
            self.delete(token)


def check_token(encoded: bytes) -> tuple[int, int | None]:
    """Its type, and the NAA of the disk that made it. CheckCondition: it is none."""
    kind, length = struct.unpack_from(">IxxH", encoded)
    if kind not in (CHANGE_VULNERABLE, ZERO):
        raise illegal_request(UNSUPPORTED_TYPE)
    if length != TOKEN_SIZE - 8:
        raise illegal_request(INVALID_LENGTH)
    if kind == ZERO:
        return kind, None
    return kind, int.from_bytes(encoded[_CREATOR + 8 : _CREATOR + 16], "big")


def unknown_token() -> CheckCondition:
    return illegal_request(UNKNOWN)
