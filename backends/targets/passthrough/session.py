"""A way to a LUN on which commands are in flight, until it is lost."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable

from pvdrivers.backends.targets.command import Answer, Command, Nexus

INQUIRY = bytes.fromhex("12 00 00 00 24 00")
INQUIRY_ROOM = 36  # bytes of standard data


class Session(ABC):
    """Made on a loop, which all calls come from, but for `close` when that loop has ended."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Why it cannot be used any more, once it cannot."""

    @abstractmethod
    async def execute(self, command: Command) -> Answer:
        """ConnectionError: the session is lost, and nobody knows what has become of the command."""

    @abstractmethod
    def abort(self, command: Command) -> None:
        """Of one that is in flight: `execute` ends soon, if the device can end it."""

    @abstractmethod
    def reset(self) -> None:
        """LOGICAL UNIT RESET, before all commands that come. OSError: it cannot be done."""

    @abstractmethod
    def close(self) -> None:
        """What is in flight is lost. A second call does nothing."""

    def check_open(self) -> None:
        """ConnectionError: it is lost."""
        if self.lost.done():
            raise ConnectionError(self.lost.result())


async def ask(opening: Awaitable[Session], nexus: Nexus, cdb: bytes, room: int) -> Answer:
    """In a session that is there for this command alone. OSError: there is none, or it is lost."""
    session = await opening
    try:
        return await session.execute(Command(nexus, cdb, room=room))
    finally:
        session.close()
