"""The order of commands in a session, over all its connections (RFC 7143, section 4.2.2.1)."""

from __future__ import annotations

from typing import Generic, TypeVar

SIZE = 64  # commands that a session may have sent and not seen taken
MODULUS = 1 << 32

Item = TypeVar("Item")


class CommandWindow(Generic[Item]):
    """Gives commands in the order of their CmdSN, however they came."""

    def __init__(self, first: int) -> None:
        self.expected = first
        self._early: dict[int, Item] = {}

    @property
    def last(self) -> int:
        """MaxCmdSN."""
        return (self.expected + SIZE - 1) % MODULUS

    def put(self, number: int, item: Item) -> list[Item]:
        """What may be begun now. A command outside the window, or one that came already, is
        ignored, as the RFC says."""
        if (number - self.expected) % MODULUS >= SIZE or number in self._early:
            return []
        self._early[number] = item
        ready = []
        while self.expected in self._early:
            ready.append(self._early.pop(self.expected))
            self.expected = (self.expected + 1) % MODULUS
        return ready
