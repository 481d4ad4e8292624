"""A watch as its client has it: events wait here until they are taken."""

import asyncio
from collections.abc import Callable
from typing import Self

PENDING_PATHS_MAX = 1024


class Watch:
    """An async iterator over the paths that changed at or below `path`.

    The first item comes at once, with the watched path. What is not yet taken is bounded
    (XSA-349): each path is held once, and when more than 1024 different ones wait they collapse
    into the watched path itself, which means "look at everything again".
    """

    __slots__ = (
        "_changed",
        "_closed",
        "_lost",
        "_on_event",
        "_pending",
        "_unwatch",
        "path",
        "token",
    )

    def __init__(
        self,
        path: str,
        token: str,
        unwatch: Callable[["Watch"], None],
        on_event: Callable[[], None] | None = None,
    ) -> None:
        self.path = path
        self.token = token
        self._unwatch = unwatch
        self._on_event = on_event
        self._pending: dict[str, None] = {}
        self._changed: asyncio.Event | None = None
        self._closed = False
        self._lost: Exception | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while not self._pending:
            if self._lost:
                raise ConnectionResetError(str(self._lost)) from self._lost
            if self._closed:
                raise StopAsyncIteration
            self._changed = asyncio.Event()
            await self._changed.wait()
        path = next(iter(self._pending))
        del self._pending[path]
        return path

    def take(self) -> list[str]:
        """Takes all paths that wait now; none when nothing does."""
        taken = list(self._pending)
        self._pending.clear()
        return taken

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def pending(self) -> int:
        """Paths that wait to be taken."""
        return len(self._pending)

    async def close(self) -> None:
        """Ends the watch here and at the server; iteration stops."""
        if not self._closed:
            self._closed = True
            self._pending.clear()
            self._wake()
            self._unwatch(self)

    def _wake(self) -> None:
        if self._changed:
            self._changed.set()

    def fired(self, path: str) -> None:
        """The client's: an event has come."""
        if self._on_event:
            self._on_event()
            return
        if len(self._pending) >= PENDING_PATHS_MAX and path not in self._pending:
            self._pending = {self.path: None}
        else:
            self._pending[path] = None
        self._wake()

    def connection_lost(self, reason: Exception) -> None:
        """The client's: none will come any more."""
        self._lost = reason
        self._wake()
        if self._on_event:
            self._on_event()
