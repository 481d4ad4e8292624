"""What the frontends of all device classes share: queues, draining, and a backend that is lost.

A class derives from `Frontend` and says how its queues are allocated, published and negotiated.
This drives them, waits for answers when the backend closes, gives what a lost backend left
unanswered to the queues of the next connection, and fails it when there will be none.
"""

import asyncio
import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from pvdrivers.hypervisor import EventChannels, Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.poll.loop import LoopDriver
from pvdrivers.poll.pollable import PythonPollable
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.xenbus.device import FrontendDevice
from pvdrivers.xenstore.client import XenstoreClient

DRAIN_TIMEOUT = 5.0  # seconds a closing backend has to answer what it was asked


class Queue(Protocol):
    """One queue of a frontend: its granted rings, and what it has issued on them."""

    @property
    def port(self) -> int:
        """Its event channel's port here."""

    @property
    def second_port(self) -> int:
        """That of a second event channel; 0: there is none."""

    @property
    def outstanding(self) -> int:
        """Requests issued and not answered."""

    def statistics(self) -> Mapping[str, int]:
        """Counters."""

    def poll(self, budget: int) -> int:
        """Takes at most `budget` answers and finishes what they answer; returns how many.
        PeerError: the backend broke the ring's protocol."""

    def arm(self) -> bool:
        """Asks for an event with the next answer; true when there is one already."""

    def disconnect(self) -> None:
        """Issues nothing more, ends the grants and unbinds the port. Requests without an answer
        stay with the queue."""

    def requeue(self, successor: Any) -> int:
        """Gives a queue of the next connection the requests without an answer; how many."""

    def give_up(self) -> None:
        """Issues nothing more, and fails the requests without an answer."""

    def close(self) -> None:
        """Frees the queue, which is disconnected."""


AnyQueue = TypeVar("AnyQueue", bound=Queue)


class _Driven(PythonPollable):
    """A queue as its driver has it; `fatal` closes its device."""

    def __init__(
        self,
        queue: Queue,
        channels: EventChannels,
        poll: Callable[[int], int],
        fatal: Callable[[str], None],
    ) -> None:
        super().__init__(channels, queue.port, queue.second_port)
        self._queue, self._poll, self._fatal = queue, poll, fatal

    def pump(self, budget: int, now: int) -> int:
        return self._poll(budget)

    def arm(self) -> bool:
        return self._queue.arm()

    def failed(self, error: BaseException) -> None:
        super().failed(error)
        self._fatal(f"a queue failed: {error!r}")


class Frontend(FrontendDevice, Generic[AnyQueue], ABC):
    """One device of this guest. Operations submitted while it is not connected wait until it is.

    Requests that a lost backend has not answered are issued again to the next one. They fail when
    the device is closed or removed, or when its backend broke the protocol.
    """

    def __init__(
        self,
        client: XenstoreClient,
        path: str,
        hypervisor: Hypervisor,
        drain_timeout: float = DRAIN_TIMEOUT,
    ) -> None:
        super().__init__(client, path)
        self.hypervisor = hypervisor
        self.drain_timeout = drain_timeout
        self.driver: PollDriver = LoopDriver()
        self.broken_rings = 0
        self.reissued = 0
        self._queues: list[AnyQueue] = []  # of the present connection
        self._stopped: list[AnyQueue] = []  # of the last one, with what it has left unanswered
        self._channels: EventChannels | None = None
        self._driven: dict[AnyQueue, _Driven] = {}
        self._drain_timer: asyncio.TimerHandle | None = None
        self._broken = False  # the present backend has broken a ring
        self._failed = False
        self._given_up = False

    # ---- what a class fills in -------------------------------------------------------------

    async def read_limits(self) -> None:
        """Reads what the backend publishes before a frontend allocates. PeerError."""

    @abstractmethod
    def open_queues(self, channels: EventChannels) -> Iterator[AnyQueue]:
        """Allocates and grants the rings of each queue. OSError: there is no room for one."""

    @abstractmethod
    async def publish(self) -> None:
        """Writes the rings and ports of `queues`, and what else a backend reads before it maps."""

    async def negotiate(self) -> None:
        """Reads what a Connected backend has published, and prepares the queues for it. PeerError:
        it cannot be used."""

    def successor(self, index: int, stopped: AnyQueue) -> AnyQueue | None:
        """The queue that goes on with what the last connection's queue `index` has not finished;
        None: it fails."""
        return self._queues[index % len(self._queues)]

    def issue_waiting(self) -> None:
        """Issues what was asked for while the device did not accept it."""

    def fail_requests(self) -> None:
        """Fails everything that was asked for and is not finished."""
        for queue in (*self._queues, *self._stopped):
            queue.give_up()

    # ---- what its user calls ---------------------------------------------------------------

    @property
    def queues(self) -> list[AnyQueue]:
        """Those of the present connection."""
        return list(self._queues)

    @property
    def channels(self) -> EventChannels:
        """The handle all queues' ports are bound to. UsageError when there is no connection."""
        if self._channels is None:
            raise UsageError("not connected")
        return self._channels

    def statistics(self) -> dict[str, int]:
        """Counters of the present connection's queues, added up."""
        totals: dict[str, int] = {}
        for queue in self._queues:
            for name, count in queue.statistics().items():
                totals[name] = totals.get(name, 0) + count
        return totals

    # ---- for the class's own calls ---------------------------------------------------------

    @property
    def accepts(self) -> bool:
        """Whether requests may be issued now; otherwise they wait for `issue_waiting`."""
        return bool(self._driven) and self._drain_timer is None and not self._broken

    def check_open(self) -> None:
        """UsageError: the device is closed. OSError: it has failed."""
        if self._given_up or self._closing:
            raise UsageError(f"{self.path} is closed")
        if self._failed:
            raise OSError(errno.EIO, self.last_error)

    def wake(self, queue: AnyQueue) -> None:
        """Polls the queue soon, though no event has come."""
        if driven := self._driven.get(queue):
            driven.wake()

    # ---- hooks -----------------------------------------------------------------------------

    async def connect(self) -> None:
        await self.read_limits()
        try:
            self._channels = self.hypervisor.open_event_channels()
            for queue in self.open_queues(self._channels):
                self._queues.append(queue)  # one by one: `disconnect` ends those before a failure
            await self.publish()
        except BaseException:
            await self.disconnect()
            raise

    async def attach(self) -> None:
        await self.negotiate()
        self._broken = self._failed = False
        self.serve()
        for index, stopped in enumerate(self._stopped):
            if (successor := self.successor(index, stopped)) is None:
                stopped.give_up()
            else:
                self.reissued += stopped.requeue(successor)
            stopped.close()
        self._stopped.clear()
        self.issue_waiting()

    async def reread(self) -> None:
        if self._drain_timer:  # the backend cancelled closing
            self._drain_timer.cancel()
            self._drain_timer = None
            self.issue_waiting()

    async def drain(self) -> None:
        if not self._queues:
            self.drained()
        elif self._drain_timer is None:
            loop = asyncio.get_running_loop()
            self._drain_timer = loop.call_later(self.drain_timeout, self.drained)
            self._check_drained()

    async def disconnect(self) -> None:
        if self._drain_timer:
            self._drain_timer.cancel()
            self._drain_timer = None
        self._release()
        for queue in self._queues:
            queue.disconnect()
        self._stopped += self._queues
        self._queues = []
        if self._channels:
            self._channels.close()
            self._channels = None

    async def failed(self) -> None:
        self._failed = True
        self._release()
        self.fail_requests()

    async def removed(self) -> None:
        self._given_up = True
        self.fail_requests()
        for queue in self._stopped:
            queue.close()
        self._stopped.clear()

    # ---- connection ------------------------------------------------------------------------

    def serve(self) -> None:
        """Starts driving the queues; override it to drive them by other means."""
        self.drive_queues(self._queues)

    def drive_queues(self, queues: Iterable[AnyQueue]) -> None:
        for queue in queues:
            driven = _Driven(queue, self.channels, partial(self._poll, queue), self.fatal)
            self._driven[queue] = driven
            self.driver.add(driven.pollable)

    def _release(self) -> None:
        """Takes the queues back from their driver."""
        for driven in self._driven.values():
            self.driver.remove(driven.pollable)
            driven.close()
        self._driven.clear()

    def _poll(self, queue: AnyQueue, budget: int) -> int:
        try:
            count = queue.poll(budget)
        except PeerError as error:
            self._end_connection(error)
            return -errno.EPROTO
        self._check_drained()
        return count

    def _end_connection(self, error: PeerError) -> None:
        """Called when the backend's answers cannot be trusted any more."""
        if not self._broken:
            self._broken = True
            self.broken_rings += 1
            self.peer_errors += 1
            self.fatal(str(error))

    def _check_drained(self) -> None:
        if self._drain_timer and not any(queue.outstanding for queue in self._queues):
            self.drained()
