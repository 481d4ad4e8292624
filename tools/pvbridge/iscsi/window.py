"""The order of commands in a session, over all its connections (RFC 7143, section 4.2.2.1)."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pvdrivers._core import lib

SIZE = int(lib.PV_ISCSI_WINDOW)  # commands that a session may have sent and not seen taken
MODULUS = 1 << 32

Item = TypeVar("Item")


class CommandWindow(Generic[Item]):
    """Gives commands in the order of their CmdSN, however they came."""

    def __init__(self, session: Any) -> None:
        """`session`: a `struct pv_iscsi_session *`, which has ExpCmdSN: commands in turn that C
        carries out move it on too."""
        self._session = session
        self._early: dict[int, Item] = {}

    @property
    def expected(self) -> int:
        """ExpCmdSN."""
        return int(self._session.expected)

    def put(self, number: int, item: Item) -> list[Item]:
        """What may be begun now. A command outside the window, or one that came already, is
        ignored, as the RFC says."""
        expected = self.expected
        if (number - expected) % MODULUS >= SIZE or number in self._early:
            return []
        self._early[number] = item
        ready = []
        while expected in self._early:
            ready.append(self._early.pop(expected))
            expected = (expected + 1) % MODULUS
        self._session.expected, self._session.early = expected, len(self._early)
        return ready
