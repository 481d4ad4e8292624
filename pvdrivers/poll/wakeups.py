"""Event channels in an asyncio loop: one handle, several ports, a service for each.

A port is unmasked after it was served, and later when it fires again and again without work for
us, as Linux' lateeoi does (XSA-332, XSA-391): a peer that only makes noise is heard once a second.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from pvdrivers.hypervisor import EventChannels

SPURIOUS_DELAY_MAX = 1.0  # seconds
SPURIOUS_DELAY_FIRST = 0.001


class Work(NamedTuple):
    """What a service found: whether it did anything, and whether it wants to be called again."""

    done: bool
    more: bool


class _Port:
    def __init__(self, service: Callable[[], Work]) -> None:
        self.service = service
        self.spurious = 0  # events in a row that brought no work
        self.call: asyncio.Handle | None = None  # of `service`, on its way


class Wakeups:
    """Calls each port's service when the port fires or is kicked; close before the handle."""

    def __init__(self, channels: EventChannels) -> None:
        self.channels = channels
        self.spurious_events = 0
        self._loop = asyncio.get_running_loop()
        self._ports: dict[int, _Port] = {}
        self._fds: list[int] = [channels.fileno()]
        self._loop.add_reader(self._fds[0], self._readable)

    def add(self, port: int, service: Callable[[], Work]) -> None:
        self._ports[port] = _Port(service)
        self.kick(port)

    def add_fd(self, fd: int, port: int) -> None:
        """Serves `port` as well when `fd` is readable."""
        self._fds.append(fd)
        self._loop.add_reader(fd, self.kick, port)

    def kick(self, port: int) -> None:
        """Serves the port soon, once, though it may not have fired."""
        served = self._ports.get(port)
        if served and served.call is None:
            served.call = self._loop.call_soon(self._serve, port, served)

    def close(self) -> None:
        for fd in self._fds:
            self._loop.remove_reader(fd)
        self._fds.clear()
        self._ports.clear()

    def _serve(self, port: int, served: _Port) -> bool:
        # This is the call on its way, or stands for it: one that stayed would go on beside the
        # next kick's, and every event would add another (XSA-332).
        if served.call:
            served.call.cancel()
            served.call = None
        if self._ports.get(port) is not served:
            return False
        work = served.service()
        if work.done:
            served.spurious = 0  # also when no event had brought it: the event may be late
        if work.more:
            self.kick(port)
        return work.done

    def _readable(self) -> None:
        # Each delivered port is masked, so that no peer can keep us here.
        fired = list(iter(self.channels.pending, None))
        for port in fired:
            served = self._ports.get(port)
            if served is None:
                continue
            if not self._serve(port, served):
                served.spurious += 1
                self.spurious_events += 1
            if served.spurious < 2:
                self._unmask(port, served)
            else:
                delay = min(
                    SPURIOUS_DELAY_FIRST * 2 ** min(served.spurious - 2, 16), SPURIOUS_DELAY_MAX
                )
                self._loop.call_later(delay, self._unmask, port, served)

    def _unmask(self, port: int, served: _Port) -> None:
        if self._ports.get(port) is served:
            self.channels.unmask(port)
