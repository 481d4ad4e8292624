"""Pumps from an asyncio loop, a deterministic one for instance."""

import asyncio
from typing import Any

from pvdrivers.poll.group import NEVER, PollGroup


class LoopDriver:
    """Drives pollables from the loop that runs when the first is added.

    Those of one event channel handle are a poll group, which never polls without work: so the loop,
    and in a deterministic run its seed, chooses whose events come first.
    """

    def __init__(self) -> None:
        self._groups: dict[Any, _LoopGroup] = {}  # by event channel handle

    def add(self, pollable: Any) -> None:
        handle = pollable.evtchn
        driven = self._groups.get(handle) or _LoopGroup()
        try:
            driven.group.add(pollable)
        finally:
            self._keep(handle, driven)

    def remove(self, pollable: Any) -> None:
        handle = pollable.evtchn
        driven = self._groups.get(handle)
        if driven and pollable in driven.group:
            driven.group.remove(pollable)
            self._keep(handle, driven)

    def _keep(self, handle: Any, driven: "_LoopGroup") -> None:
        """Keeps the group, or closes it when it is empty."""
        if len(driven.group):
            self._groups[handle] = driven
        else:
            self._groups.pop(handle, None)
            driven.close()

    @property
    def spurious_events(self) -> int:
        """Events that brought no work, of the handles there are."""
        return sum(driven.group.spurious_events for driven in self._groups.values())

    def __repr__(self) -> str:
        return f"<LoopDriver, pollables {[len(driven.group) for driven in self._groups.values()]}>"


class _LoopGroup:
    def __init__(self) -> None:
        self.group = PollGroup("event")
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Handle | None = None  # the next call of `_iterate` but for the fd's
        self._loop.add_reader(self.group.fileno(), self._iterate)

    def close(self) -> None:
        self._cancel()
        self._loop.remove_reader(self.group.fileno())
        self.group.close()

    def _cancel(self) -> None:
        if self._next:
            self._next.cancel()
            self._next = None

    def _iterate(self, due: int = 0) -> None:
        """`due`: the time, ns, that the call was made for; the loop's own may round to less."""
        self._cancel()
        self.group.iterate(max(due, int(self._loop.time() * 1e9)))
        if self.group.awake:
            self._next = self._loop.call_soon(self._iterate)
        elif (deadline := self.group.deadline) != NEVER:
            self._next = self._loop.call_at(deadline / 1e9, self._iterate, deadline)
