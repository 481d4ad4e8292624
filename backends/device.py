"""What the backends of all device classes share: the life of a connection.

A class derives from `Backend` and says how the queues of its frontends are read, mapped and
published. This maps, serves and stops them, exchanges what is behind the device, and takes up a
predecessor's connection where the predecessor stopped.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from pvdrivers.backends.faults import FaultWatch
from pvdrivers.backends.inflight import InflightFile, LogMemory
from pvdrivers.hypervisor import EventChannels, Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.poll.loop import LoopDriver
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.xenbus.device import BackendDevice
from pvdrivers.xenbus.states import Event, XenbusState
from pvdrivers.xenstore.client import XenstoreClient

log = logging.getLogger("pvdrivers.backends")

QUIESCE_STEP = 0.001  # seconds between looks at operations that a queue still has


@dataclass(frozen=True, slots=True)
class DeviceContext:
    """What every backend's device is given, of any class."""

    client: XenstoreClient
    path: str  # the backend's directory
    hypervisor: Hypervisor
    driver: PollDriver = field(default_factory=LoopDriver)  # of its queues
    inflight: InflightFile | None = None  # where a successor learns what was in flight
    is_successor: bool = False  # of a backend whose connection it may take up


@dataclass(frozen=True, slots=True)
class QueueContext:
    """What a queue is given, beside what its frontend has published."""

    channels: EventChannels  # of this queue alone, since its driver owns the handle exclusively
    fault_fd: int  # an eventfd, to be written to when the queue is broken or has errors to log
    inflight: LogMemory


class Queue(Protocol):
    """One of a frontend's queues, mapped here."""

    @property
    def pollable(self) -> Any:
        """What a PollDriver takes."""

    @property
    def port(self) -> int:
        """Its event channel's port here."""

    @property
    def second_port(self) -> int:
        """That of a second event channel; 0: there is none."""

    @property
    def broken(self) -> object:
        """Whether the queue is broken and does nothing any more: true when the frontend has overrun
        its ring, or an exception that says why."""

    def statistics(self) -> Mapping[str, int]:
        """Counters; from any thread."""

    def stop(self) -> None:
        """Takes no more requests; those taken are still answered."""

    def quiesce(self, now: int) -> bool:
        """Goes on with a stopped queue; true when every request taken is answered. `now`: ns."""

    def close(self) -> None:
        """Unmaps the rings, unbinds the port, and frees the queue, which has quiesced."""


Ring = TypeVar("Ring")  # what a frontend publishes of one queue, such as QueueKeys
AnyQueue = TypeVar("AnyQueue", bound=Queue)


class Backend(BackendDevice, Generic[Ring, AnyQueue], ABC):
    """Serves one device of one guest."""

    eager_frontends = False  # they publish Connected with their rings, not when this end is

    def __init__(self, context: DeviceContext) -> None:
        super().__init__(context.client, context.path)
        self.hypervisor = context.hypervisor
        self.driver = context.driver
        self.inflight = context.inflight
        self._is_successor = context.is_successor
        self._inherits = False  # CONNECT takes up a predecessor's connection
        self._rings: Sequence[Ring] = ()
        self._queues: list[AnyQueue] = []
        self._channels: list[EventChannels] = []  # of each queue
        self._faults: FaultWatch | None = None
        self._past_statistics: dict[str, int] = {}  # of earlier connections

    # ---- what a class fills in, beside `offer` ---------------------------------------------

    @abstractmethod
    async def read_rings(self) -> Sequence[Ring]:
        """What the frontend has published of each queue. PeerError: that cannot be used."""

    @abstractmethod
    def open_queue(self, ring: Ring, context: QueueContext) -> AnyQueue:
        """Maps one. PeerError: it cannot be used. OSError: there is no room for it."""

    async def publish(self) -> None:
        """Writes what a frontend reads when this end is Connected. The queues are mapped."""

    async def read_own_offer(self) -> None:
        """Reads what a predecessor has offered, where `offer` would write it. PeerError: it is
        not what this class writes."""

    def inflight_size(self, ring: Ring) -> int:
        """Bytes of the queue's in-flight log; 0: the class has none."""
        return 0

    def is_resumable(self, ring: Ring, inflight: LogMemory) -> bool:
        """Whether `open_queue` would go on where a predecessor stopped, with no request lost."""
        return False

    async def reload(self, options: Any) -> bool:
        """Applies other options of its service; false: nothing changes."""
        return False

    # ---- what its user calls ---------------------------------------------------------------

    @property
    def queues(self) -> list[AnyQueue]:
        """Those of the present connection."""
        return list(self._queues)

    def statistics(self) -> dict[str, int]:
        """Counters over all queues and connections."""
        totals = dict(self._past_statistics)
        for queue in self._queues:
            _add(totals, queue.statistics())
        return totals

    def status(self) -> dict[str, Any]:
        lost = self.inflight is not None and self.inflight.is_lost
        return super().status() | {
            "queues": len(self._queues),
            "counters": self.statistics(),
            "in_flight_log": "lost" if lost else "kept" if self.inflight else "none",
        }

    def describe(self) -> str:
        lost = self.inflight is not None and self.inflight.is_lost
        return super().describe() + (", in-flight log lost" if lost else "")

    # ---- hooks -----------------------------------------------------------------------------

    async def connect(self) -> None:
        if self.inflight and not self._inherits:
            self.inflight.clear()
        try:
            self._open_queues(await self.read_rings())
            await self.publish()
            self.serve()
        except BaseException:
            await self.disconnect()
            raise
        finally:
            self._inherits = False

    async def inherit(self) -> bool:
        """True when the predecessor's log says which requests to do again, or when the frontend
        waits for no answer, since then no request can be lost."""
        if not self._is_successor:
            return False
        try:
            await self.read_own_offer()
            rings = await self.read_rings()
        except (PeerError, OSError) as error:
            log.warning("%s: connects again: %s", self.path, error)
            return False
        self._inherits = self._are_resumable(rings)
        if not self._inherits and self.inflight:
            self.inflight.clear()
            self._inherits = self._are_resumable(rings)
        if not self._inherits:
            log.warning("%s: connects again: what is in flight is not known", self.path)
        return self._inherits

    async def offer_stands(self) -> bool:
        """A frontend that is Connected before this end answers no second offer: Linux's netfront
        stays as it is when the backend goes back to Initialising."""
        if not (self.eager_frontends and self._is_successor):
            return False
        try:
            await self.read_own_offer()
        except (PeerError, OSError) as error:
            log.warning("%s: offers again: %s", self.path, error)
            return False
        return True

    async def disconnect(self) -> None:
        await self._close_queues()
        self._rings = ()

    async def _close_queues(self) -> None:
        """When they have answered what they took."""
        for queue in self._queues:
            self.driver.remove(queue.pollable)
            queue.stop()
        while self._queues:
            # No driver pumps this queue any more, so no event wakes it: poll.
            while not self._queues[-1].quiesce(self._now()):  # noqa: ASYNC110
                await asyncio.sleep(QUIESCE_STEP)
            queue = self._queues.pop()  # before it is freed: `statistics` may be called meanwhile
            _add(self._past_statistics, queue.statistics())
            queue.close()
        for channels in self._channels:
            channels.close()
        self._channels.clear()
        if self._faults:
            self._faults.close()
            self._faults = None

    async def removed(self) -> None:
        await self.disconnect()  # again, when an abort has interrupted it
        if self.task and self.inflight and await self._is_over():
            self.inflight.clear()

    async def _is_over(self) -> bool:
        """Whether no successor will take the connection up."""
        return self.state is XenbusState.CLOSED or await self._is_unplugged()

    async def _is_unplugged(self) -> bool:
        """Whether the toolstack has removed the device, or waits for this end to be gone."""
        try:
            keys = await self.client.read_keys(self.path, ("state", "online"))
        except OSError:
            return False
        return "state" not in keys or keys.get("online") == "0"

    async def _step(self, event: Event, reason: str = "") -> None:
        # The frontend may leave a predecessor's connection before it is taken up.
        self._inherits = self._inherits and event is Event.ADOPT
        await super()._step(event, reason)

    # ---- connection ------------------------------------------------------------------------

    @asynccontextmanager
    async def queues_closed(self) -> AsyncIterator[None]:
        """For EXCHANGE: closes the queues when they have answered what they took, and opens them
        again afterwards on the same rings. The frontend does not notice."""
        await self._close_queues()
        yield
        if self._rings:
            self._open_queues(self._rings)
            self.serve()

    def serve(self) -> None:
        """Starts driving the queues; override it to drive them by other means."""
        if self._inherits:
            resumed = self.statistics().get("resumed", 0)
            log.info("%s: taken up, %d requests in flight", self.path, resumed)
            # The predecessor may have answered without a notification.
            for queue, channels in zip(self._queues, self._channels, strict=True):
                channels.notify(queue.port)
                if queue.second_port:
                    channels.notify(queue.second_port)
        for queue in self._queues:
            self.driver.add(queue.pollable)

    def _open_queues(self, rings: Sequence[Ring]) -> None:
        self._rings = rings
        self._faults = FaultWatch(self.look_at_faults)
        for ring, inflight in zip(rings, self._logs(rings), strict=True):
            channels = self.hypervisor.open_event_channels()
            self._channels.append(channels)
            context = QueueContext(channels, self._faults.fd, inflight)
            self._queues.append(self.open_queue(ring, context))

    def _logs(self, rings: Sequence[Ring]) -> list[LogMemory]:
        sizes = [self.inflight_size(ring) for ring in rings]
        if self.inflight and any(sizes):
            return self.inflight.map(sizes)
        return [LogMemory.none(size) for size in sizes]

    def _are_resumable(self, rings: Sequence[Ring]) -> bool:
        return all(map(self.is_resumable, rings, self._logs(rings)))

    def look_at_faults(self) -> None:
        """A queue has reported a fault."""
        broken = {index: queue.broken for index, queue in enumerate(self._queues) if queue.broken}
        if not broken or not self._faults:
            return
        self._faults.stop()  # several broken queues are one fault
        for why in broken.values():
            if isinstance(why, BaseException) and not isinstance(why, PeerError):
                self.fatal(f"a queue failed: {why!r}")
                return
        self.peer_errors += 1
        why = next(iter(broken.values()))
        says = str(why) if isinstance(why, PeerError) else "the frontend overran its ring"
        self.fatal(f"{says} (queue {', '.join(map(str, broken))})")

    def abi_of_pages(self) -> Abi:
        """The ABI of a frontend that names none, where nothing but the page size depends on it."""
        size = self.hypervisor.granted_page_size(self.peer_domid)
        return Abi.IA64 if size == Abi.IA64.page_size else Abi.X86_64

    def _now(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9)


def _add(totals: dict[str, int], counters: Mapping[str, int]) -> None:
    for name, count in counters.items():
        totals[name] = totals.get(name, 0) + count


class RefusedDevice(BackendDevice):
    """Stands for a device that cannot be served, and tells a frontend that wants it why."""

    def __init__(self, client: XenstoreClient, path: str, reason: str) -> None:
        super().__init__(client, path)
        self.reason = reason

    async def offer(self) -> None:
        await self.write_keys({"hotplug-status": "error", "hotplug-error": self.reason})
        raise UsageError(self.reason)

    def status(self) -> dict[str, Any]:
        return super().status() | {"last_error": self.reason}
