"""Packets that have come and that nobody has received yet."""

import asyncio
from collections import deque
from collections.abc import Callable

from pvdrivers.vnif.packet import Packet

ROOM = 4096  # packets; more are dropped, as a network card drops them


class Inbox:
    """Of one device, over all its queues and connections."""

    def __init__(self) -> None:
        self.dropped = 0
        self.on_packets: Callable[[list[Packet]], None] | None = None
        self._packets: deque[Packet] = deque()
        self._receivers: deque[asyncio.Future[None]] = deque()

    def put(self, packets: list[Packet]) -> None:
        if self.on_packets:
            self.on_packets(packets)
            return
        room = ROOM - len(self._packets)
        self.dropped += max(0, len(packets) - room)
        self._packets.extend(packets[:room])
        self.wake()

    def take(self, maximum: int) -> list[Packet]:
        return [self._packets.popleft() for _ in range(min(maximum, len(self._packets)))]

    def __len__(self) -> int:
        return len(self._packets)

    async def changed(self) -> None:
        """Until packets come, or `wake` is called."""
        waiter = asyncio.get_running_loop().create_future()
        self._receivers.append(waiter)
        await waiter

    def wake(self) -> None:
        while self._receivers:
            waiter = self._receivers.popleft()
            if not waiter.done():
                waiter.set_result(None)
