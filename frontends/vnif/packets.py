"""A network frontend's packets: queues come and go, and what is sent waits for room on them."""

import asyncio
import errno
import logging
from abc import ABC
from collections.abc import Iterable, Iterator

from pvdrivers.frontends.device import DRAIN_TIMEOUT, Frontend
from pvdrivers.frontends.vnif.control import ControlQueue
from pvdrivers.frontends.vnif.inbox import Inbox
from pvdrivers.frontends.vnif.outgoing import PacketCache, Sending
from pvdrivers.frontends.vnif.queue import Outgoing, VnifQueue
from pvdrivers.hypervisor import EventChannels, Hypervisor
from pvdrivers.ring.errors import UsageError
from pvdrivers.vnif.features import Agreement
from pvdrivers.vnif.packet import Packet, packet_pool
from pvdrivers.xenstore.client import XenstoreClient

log = logging.getLogger("pvdrivers.frontends.vnif")


class PacketFrontend(Frontend[VnifQueue | ControlQueue], ABC):
    """A packet is carried once or never: what is on a ring when the backend is lost is lost, as on
    a wire. What waits for a ring is sent on the next connection.
    """

    def __init__(
        self,
        client: XenstoreClient,
        path: str,
        hypervisor: Hypervisor,
        drain_timeout: float = DRAIN_TIMEOUT,
    ) -> None:
        super().__init__(client, path, hypervisor, drain_timeout)
        self.agreement: Agreement | None = None
        self.rx_buffers = 0  # pages that each queue posts; 0: 256
        self.inbox = Inbox()  # its `on_packets` takes what comes, in place of `receive`
        self._cache = PacketCache()
        self._waiting: list[Sending] = []  # for a connection
        self._flushed: list[asyncio.Future[None]] = []

    # ---- what its user calls ---------------------------------------------------------------

    @property
    def packet_queues(self) -> list[VnifQueue]:
        """Those of the present connection, without its control ring."""
        return [queue for queue in self._queues if isinstance(queue, VnifQueue)]

    async def send(self, packets: Iterable[Packet | bytes]) -> None:
        """Returns when all are on a ring. Those of a flow stay in order.

        UsageError: one of them is too long, or needs an offload that is not agreed.
        """
        self.check_open()
        listed = [each if isinstance(each, Packet) else Packet(each) for each in packets]
        if not listed:
            return
        sending = Sending(listed, self._cache)
        self._waiting.append(sending)
        if self.accepts:
            self.issue_waiting()
        await sending.done

    async def receive(self, maximum: int = 256) -> list[Packet]:
        """Packets that have come, at least one."""
        while not self.inbox:
            self.check_open()
            await self.inbox.changed()
        return self.inbox.take(maximum)

    async def flush(self) -> None:
        """Returns when the backend has taken all that was sent."""
        if not self.accepts or not self._count_outstanding():
            return
        flushed = asyncio.get_running_loop().create_future()
        self._flushed.append(flushed)
        self._ask_for_answers(True)
        await flushed

    async def close(self) -> None:
        """Waits for what is sent, then closes the device in order."""
        try:
            async with asyncio.timeout(self.drain_timeout):
                await self.flush()
        except TimeoutError:
            log.warning("%s: the backend has not taken all that was sent", self.path)
        await super().close()

    # ---- hooks -----------------------------------------------------------------------------

    def open_queues(self, channels: EventChannels) -> Iterator[VnifQueue | ControlQueue]:
        agreement = self._agreed
        config = {
            "hypervisor": self.hypervisor.cdata,
            "evtchn": channels.cdata,
            "backend": self.peer_domid,
            "split_event_channels": agreement.split_event_channels,
            "pool": packet_pool(),
            "rx_buffers": self.rx_buffers,
        }
        for index in range(agreement.queues):
            yield VnifQueue(config, index, self.inbox.put)
        if agreement.control_ring:
            yield ControlQueue(self.hypervisor, channels, self.peer_domid)

    async def drain(self) -> None:
        self._ask_for_answers(True)
        await super().drain()

    async def disconnect(self) -> None:
        await super().disconnect()
        self._end_flushes()

    def fail_requests(self) -> None:
        super().fail_requests()
        error = OSError(errno.EIO, "the device is gone")
        waiting, self._waiting = self._waiting, []
        for outgoing in waiting:
            outgoing.fail(error)
        self._end_flushes()
        self.inbox.wake()

    def issue_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        queues = self.packet_queues
        for sending in waiting:
            for index, share in sending.split(len(queues)).items():
                self._issue(queues[index], share)

    def successor(
        self, index: int, stopped: VnifQueue | ControlQueue
    ) -> VnifQueue | ControlQueue | None:
        if isinstance(stopped, VnifQueue):
            return self.packet_queues[index % len(self.packet_queues)]
        return self._control if self._agreed.control_ring else None

    # ---- the inside ------------------------------------------------------------------------

    @property
    def _agreed(self) -> Agreement:
        if self.agreement is None:
            raise UsageError(f"{self.path} is not connected")
        return self.agreement

    @property
    def _control(self) -> ControlQueue:
        for queue in self._queues:
            if isinstance(queue, ControlQueue):
                return queue
        raise UsageError(f"{self.path} is not connected")

    def _issue(self, queue: VnifQueue, outgoing: Outgoing) -> None:
        if not queue.issue(outgoing):
            self.wake(queue)  # to be armed for room

    def _count_outstanding(self) -> int:
        return sum(queue.outstanding for queue in self._queues)

    def _ask_for_answers(self, flushing: bool) -> None:
        for queue in self.packet_queues:
            queue.flushing = flushing
            self.wake(queue)

    def _check_drained(self) -> None:
        super()._check_drained()
        if self._flushed and not self._count_outstanding():
            self._ask_for_answers(False)
            self._end_flushes()

    def _end_flushes(self) -> None:
        flushed, self._flushed = self._flushed, []
        for each in flushed:
            if not each.done():
                each.set_result(None)
