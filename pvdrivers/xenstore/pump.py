"""Gives a store its turns on an asyncio event loop."""

import asyncio
import gc

from pvdrivers.xenstore.store import Store

REQUESTS_PER_TURN = 64
# New objects before the collector looks at them, and looks at young and middling ones before it
# looks at all.
COLLECTOR = (2_000, 20, 100)


def tune_gc_for_large_tree() -> None:
    """For a process whose main work is a store: keeps the garbage collector from it.

    The tree of a thousand guests has more than a million objects and no cycles, and to look for
    some in it takes half a second, in which nobody is served.
    """
    gc.set_threshold(*COLLECTOR)


class Pump:
    """Runs the store whenever it has work, a bounded number of requests per loop iteration."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._handle: asyncio.TimerHandle | asyncio.Handle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        store.on_ready = self.schedule

    @classmethod
    def attach(cls, store: Store) -> None:
        """Makes sure that somebody runs the store."""
        if store.on_ready is None:
            cls(store)

    def schedule(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a store may outlive the loop it was used in
            self._loop, self._handle = loop, None
        if isinstance(self._handle, asyncio.TimerHandle):
            self._handle.cancel()  # it waits for a throttled client; now there is another
            self._handle = None
        if self._handle is None:
            self._handle = loop.call_soon(self._run)

    def _run(self) -> None:
        assert self._loop is not None
        self._handle = None
        delay = self._store.run(REQUESTS_PER_TURN)
        if delay is None or self._handle is not None:
            return
        if delay:
            self._handle = self._loop.call_later(delay, self._run)
        else:
            self._handle = self._loop.call_soon(self._run)
