"""Runs a store on an asyncio event loop."""

import asyncio

from pvdrivers.xenstore.store import XenStore

REQUESTS_PER_ITERATION = 64


class StoreRunner:
    """Runs the store whenever it has work, a bounded number of requests per loop iteration."""

    def __init__(self, store: XenStore) -> None:
        self._store = store
        self._handle: asyncio.TimerHandle | asyncio.Handle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        store.on_ready = self.schedule

    @classmethod
    def attach(cls, store: XenStore) -> None:
        """Gives the store a runner, unless it has one."""
        if store.on_ready is None:
            cls(store)

    def schedule(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a store may outlive the loop it was used in
            self._loop, self._handle = loop, None
        if isinstance(self._handle, asyncio.TimerHandle):
            self._handle.cancel()  # set for a throttled client; now another one has work
            self._handle = None
        if self._handle is None:
            self._handle = loop.call_soon(self._run)

    def _run(self) -> None:
        assert self._loop is not None
        self._handle = None
        delay = self._store.run(REQUESTS_PER_ITERATION)
        if delay is None or self._handle is not None:
            return
        if delay:
            self._handle = self._loop.call_later(delay, self._run)
        else:
            self._handle = self._loop.call_soon(self._run)
