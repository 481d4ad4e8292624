"""Event channels in a loop: noise costs nobody else a turn, and nobody's own events."""

import asyncio
import os
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, cast

from pvdrivers.hypervisor import EventChannels
from pvdrivers.poll.wakeups import Wakeups, Work


class Channels:
    """Event channels that a test fires; a delivered port is masked until it is unmasked."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.waiting: deque[int] = deque()
        self.masked: set[int] = set()
        self.late: set[int] = set()  # fired while masked

    def fileno(self) -> int:
        return self.fd

    def fire(self, port: int) -> None:
        if port in self.masked or port in self.waiting:
            self.late.add(port)
        else:
            self.waiting.append(port)
            os.eventfd_write(self.fd, 1)

    def pending(self) -> int | None:
        if not self.waiting:
            if self.fd_is_readable():
                os.eventfd_read(self.fd)
            return None
        port = self.waiting.popleft()
        self.masked.add(port)
        return port

    def fd_is_readable(self) -> bool:
        try:
            os.eventfd_write(self.fd, os.eventfd_read(self.fd))
        except BlockingIOError:
            return False
        return True

    def unmask(self, port: int) -> None:
        self.masked.discard(port)
        if port in self.late:
            self.late.discard(port)
            self.fire(port)


def run(body: Callable[[Channels, Wakeups], Any]) -> None:
    async def main() -> None:
        channels = Channels()
        wakeups = Wakeups(cast(EventChannels, channels))
        try:
            await body(channels, wakeups)
        finally:
            wakeups.close()
            os.close(channels.fd)

    asyncio.run(main())


def test_events_buy_no_extra_turns() -> None:
    """One port always has work and fires without end; the other only has work."""

    async def body(channels: Channels, wakeups: Wakeups) -> None:
        turns: Counter[str] = Counter()

        def service(name: str) -> Work:
            turns[name] += 1
            return Work(done=True, more=True)

        wakeups.add(1, lambda: service("loud"))
        wakeups.add(2, lambda: service("quiet"))
        for _ in range(1000):
            channels.fire(1)
            await asyncio.sleep(0)
        assert turns["quiet"] >= 990
        assert turns["loud"] <= 2 * turns["quiet"]

    run(body)


def test_a_flood_is_heard_a_few_times_and_others_as_before() -> None:
    async def body(channels: Channels, wakeups: Wakeups) -> None:
        turns: Counter[str] = Counter()

        def service(name: str, done: bool) -> Work:
            turns[name] += 1
            return Work(done=done, more=False)

        wakeups.add(1, lambda: service("rogue", False))
        wakeups.add(2, lambda: service("healthy", True))
        for step in range(100_000):
            channels.fire(1)
            if step % 100 == 0:
                channels.fire(2)
                await asyncio.sleep(0)
        assert turns["healthy"] >= 990
        assert turns["rogue"] < 100

    run(body)


def test_work_found_without_an_event_keeps_the_port_open() -> None:
    """A store that finishes just before the frontend's event arrives: the event finds nothing to
    do, time and again, but this frontend is no rogue."""

    async def body(channels: Channels, wakeups: Wakeups) -> None:
        requests = 0

        def service() -> Work:
            nonlocal requests
            done, requests = requests > 0, 0
            return Work(done=done, more=False)

        wakeups.add(1, service)
        for _ in range(50):
            requests = 1
            wakeups.kick(1)
            await asyncio.sleep(0)
            channels.fire(1)
            while channels.waiting:  # noqa: ASYNC110 - the loop's next turns
                await asyncio.sleep(0)
            assert 1 not in channels.masked

    run(body)
