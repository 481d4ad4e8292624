"""The block frontend in an asyncio loop: xenbus on one side, the C data plane on the other."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.frontends.vbd.operations import Batch, Operation, check, discard, flush, read, write
from pvdrivers.hypervisor import EventChannels, Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.poll.loop import LoopDriver
from pvdrivers.poll.pollable import PythonPollable
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.vbd.features import (
    Agreement,
    DeviceInfo,
    FrontendFeatures,
    Layout,
    choose_layout,
    negotiate,
)
from pvdrivers.vbd.keys import (
    EARLY_KEYS,
    LATE_KEYS,
    NUMBER_KEYS,
    frontend_keys,
    read_backend,
    read_limits,
    read_number,
)
from pvdrivers.xenbus.device import FrontendDevice
from pvdrivers.xenbus.keys import QueueKeys
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient

BUDGET = 256  # responses taken before other devices have their turn
DRAIN_TIMEOUT = 5.0  # seconds a closing backend has to answer what it was asked

# Keys a frontend writes, to be removed before it writes others.
_HEAD = ("ring-page-order", "num-ring-pages", "multi-queue-num-queues")


class _FrontendPollable(PythonPollable):
    def __init__(self, channels: EventChannels, queue: Any, poll: Callable[[], int]) -> None:
        super().__init__(channels, int(lib.pv_blkfront_port(queue)))
        self._queue, self._poll = queue, poll

    def pump(self, budget: int, now: int) -> int:
        return self._poll()

    def arm(self) -> bool:
        return not lib.pv_blkfront_broken(self._queue) and bool(lib.pv_blkfront_arm(self._queue))


class VbdFrontend(FrontendDevice):
    """One disk of this guest. I/O asked for while it is not connected waits until it is.

    Requests a lost backend has not answered are issued again to the next one. They fail with EIO
    when the device is closed or removed, or when its backend broke the protocol.
    """

    def __init__(
        self,
        client: XenstoreClient,
        path: str,
        hypervisor: Hypervisor,
        features: FrontendFeatures | None = None,
        drain_timeout: float = DRAIN_TIMEOUT,
    ) -> None:
        super().__init__(client, path)
        self.hypervisor = hypervisor
        protocol = hypervisor.abi.protocol
        self.features = features or FrontendFeatures(protocol=protocol)
        if self.features.protocol != protocol:
            raise UsageError(f"a domain of {protocol} cannot speak {self.features.protocol}")
        self.drain_timeout = drain_timeout
        self.buffer_pages = 0  # of each queue's own granted memory, `pv_blkfront_buffers`
        self.number = -1
        self.name = ""  # what the number stands for: xvda
        self.info: DeviceInfo | None = None
        self.agreement: Agreement | None = None
        self.on_resize: Callable[[DeviceInfo], None] | None = None
        self.broken_rings = 0
        self.reissued = 0
        self._queues: list[Any] = []  # of the present connection
        self._stopped: list[Any] = []  # of the last one, with what it has left unanswered
        self._channels: EventChannels | None = None
        self.driver: PollDriver = LoopDriver()
        self._pollables: list[_FrontendPollable] = []  # of the queues that are driven
        self._batches: dict[int, tuple[Batch, int]] = {}
        self._waiting: list[Batch] = []
        self._next_key = 1
        self._next_queue = 0
        self._drain_timer: asyncio.TimerHandle | None = None
        self._broken = False  # the present backend has spoilt a ring
        self._failed = False
        self._given_up = False
        self._done = ffi.new("struct pv_blkfront_io *[]", BUDGET)

    # ---- what its user calls ---------------------------------------------------------------

    async def connected(self) -> DeviceInfo:
        """The disk, once it can be used. PeerError when that will not be."""
        await self.wait_for(XenbusState.CONNECTED)
        if self.info is None:
            raise PeerError("the backend told nothing of the disk")
        return self.info

    async def read(self, sector: int, count: int) -> bytes:
        """`count` 512-byte sectors. OSError as the backend has it."""
        return (await self._one(read(sector, count))).data

    async def write(self, sector: int, data: bytes) -> None:
        """Writes whole 512-byte sectors. OSError as the backend has it."""
        await self._one(write(sector, data))

    async def flush(self) -> None:
        """Returns when everything written before is on stable storage."""
        await self._one(flush())

    async def discard(self, sector: int, count: int, secure: bool = False) -> None:
        """Tells the store that the sectors' content is of no use any more."""
        await self._one(discard(sector, count, secure))

    async def submit(self, operations: Iterable[Operation]) -> list[Operation]:
        """Carries out a batch; each operation's `status` and `data` are set afterwards.

        UsageError: an operation is out of range, misaligned or not offered; none was issued.
        """
        listed = list(operations)
        if not listed:
            return listed
        if self._given_up or self._closing:
            raise UsageError(f"{self.path} is closed")
        if self._failed:
            raise OSError(errno.EIO, self.last_error)
        batch = Batch(listed, self._next_key)
        for index in range(len(listed)):
            self._batches[self._next_key + index] = (batch, index)
        self._next_key += len(listed)
        if self._accepts:
            self._issue(batch)
        else:
            self._waiting.append(batch)
        await asyncio.shield(batch.done)
        return listed

    async def close(self) -> None:
        """Waits for what is under way, then closes the device in order."""
        await asyncio.gather(*(b.done for b, _ in self._batches.values()), return_exceptions=True)
        await super().close()

    def statistics(self) -> dict[str, int]:
        """Counters of the present connection's queues, added up."""
        totals: dict[str, int] = {}
        stats = ffi.new("struct pv_blkfront_stats *")
        for queue in self._queues:
            lib.pv_blkfront_get_stats(queue, stats)
            for name, _ in ffi.typeof("struct pv_blkfront_stats").fields:
                totals[name] = totals.get(name, 0) + int(getattr(stats, name))
        return totals

    @property
    def outstanding(self) -> int:
        """Operations submitted and not answered yet."""
        return len(self._batches)

    def describe(self) -> str:
        line = f"{self.name} {super().describe()}".lstrip()
        if self.agreement and self.fsm.connected:
            line += f", {self.agreement.describe()}"
        if self.info:
            line += f", {self.info.sectors} sectors of 512, sector size {self.info.sector_size}"
        return f"{line}, {self.outstanding} outstanding"

    # ---- hooks -----------------------------------------------------------------------------

    async def connect(self) -> None:
        limits = read_limits(await self.read_peer_keys(EARLY_KEYS))
        layout = choose_layout(self.features, limits)
        own = await self.client.read_keys(self.path, ("trusted", *NUMBER_KEYS))
        self.number, self.name = read_number(own)
        trusted = own.get("trusted") != "0"
        try:
            self._allocate(layout, trusted)
            keys = [self._queue_keys(queue) for queue in self._queues]
            await self.publish_rings(layout, keys)
        except BaseException:
            await self.disconnect()
            raise

    async def publish_rings(self, layout: Layout, queues: list[QueueKeys]) -> None:
        """What a backend reads before it maps."""
        keys = frontend_keys(layout, self.features.persistent, queues)
        await self.write_keys(keys, without=_HEAD)

    async def attach(self) -> None:
        back, info = read_backend(await self.read_peer_keys((*EARLY_KEYS, *LATE_KEYS)))
        agreement = negotiate(self.features, back)
        offered = ffi.new(
            "struct pv_blkfront_features *",
            {
                "flush": agreement.flush,
                "barrier": agreement.barrier,
                "discard": agreement.discard,
                "secure_discard": agreement.discard_secure,
                "transient_grants": not agreement.persistent,
                "sector_size": info.sector_size,
            },
        )
        for queue in self._queues:
            if (error := lib.pv_blkfront_connect(queue, offered)) < 0:
                raise PeerError(f"the ring cannot be used: {os.strerror(-error)}")
        self.agreement, self.info = agreement, info
        self._broken = self._failed = False
        self.serve()
        self._reissue()

    async def update_size(self) -> None:
        self._undrain()  # the backend cancelled closing
        sectors = await self.client.read_optional(f"{self.peer_path}/sectors")
        if self.info is None or sectors == str(self.info.sectors):
            return
        _, info = read_backend(await self.read_peer_keys((*EARLY_KEYS, *LATE_KEYS)))
        self.info = info
        if self.on_resize:
            self.on_resize(info)

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
            lib.pv_blkfront_stop(queue)
            lib.pv_blkfront_disconnect(queue)
        self._stopped += self._queues
        self._queues = []
        if self._channels:
            self._channels.close()
            self._channels = None

    async def failed(self) -> None:
        self._failed = True
        self._release()
        self._fail_all()

    async def removed(self) -> None:
        self._given_up = True
        self._fail_all()
        for queue in self._stopped:
            lib.pv_blkfront_destroy(queue)
        self._stopped.clear()

    def _fail_all(self) -> None:
        """Answers everything there is with EIO."""
        for queue in (*self._queues, *self._stopped):
            lib.pv_blkfront_stop(queue)
            while (count := lib.pv_blkfront_give_up(queue, self._done, BUDGET)) > 0:
                for index in range(count):
                    self._finish(self._done[index])
        for batch, index in list(self._batches.values()):
            batch.finish(index, -errno.EIO)
        self._batches.clear()
        self._waiting.clear()

    # ---- connection ------------------------------------------------------------------------

    def _allocate(self, layout: Layout, trusted: bool) -> None:
        """Allocates and grants every queue's ring."""
        self._channels = self.hypervisor.open_event_channels()
        config = ffi.new(
            "struct pv_blkfront_config *",
            {
                "hypervisor": self.hypervisor.cdata,
                "evtchn": self._channels.cdata,
                "backend": self.peer_domid,
                "handle": self.number & 0xFFFF,
                "ring_pages": 1 << layout.ring_page_order,
                "max_indirect_segments": layout.max_indirect_segments,
                "persistent": self.features.persistent,
                "trusted": trusted,
                "buffer_pages": self.buffer_pages,
            },
        )
        for _ in range(layout.queues):
            queue = lib.pv_blkfront_create(config)
            if queue == ffi.NULL:
                raise OSError(ffi.errno, f"no ring: {os.strerror(ffi.errno)}")
            self._queues.append(queue)

    def _queue_keys(self, queue: Any) -> QueueKeys:
        refs = ffi.new("grant_ref_t **")
        count = lib.pv_blkfront_ring_refs(queue, ffi.cast("const grant_ref_t **", refs))
        ring_refs = tuple(int(refs[0][index]) for index in range(count))
        return QueueKeys(ring_refs, int(lib.pv_blkfront_port(queue)))

    @property
    def queues(self) -> list[Any]:
        """The present connection's `struct pv_blkfront_queue *`."""
        return list(self._queues)

    @property
    def channels(self) -> EventChannels:
        """The handle all queues' ports are bound to. UsageError when there is no connection."""
        if self._channels is None:
            raise UsageError("not connected")
        return self._channels

    def serve(self) -> None:
        """Lets the queues run from the loop; who drives them by other means replaces this."""
        for queue in self._queues:
            pollable = _FrontendPollable(self.channels, queue, partial(self._poll, queue))
            self._pollables.append(pollable)
            self.driver.add(pollable.pollable)

    def _release(self) -> None:
        """Takes the queues back from the loop."""
        for pollable in self._pollables:
            self.driver.remove(pollable.pollable)
            pollable.close()
        self._pollables.clear()

    def _reissue(self) -> None:
        """Gives the new rings what the old ones left unanswered, then what has waited."""
        for index, stopped in enumerate(self._stopped):
            queue = self._queues[index % len(self._queues)]
            self.reissued += max(0, lib.pv_blkfront_requeue(stopped, queue))
            lib.pv_blkfront_destroy(stopped)
        self._stopped.clear()
        self._issue_waiting()

    def _issue_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for batch in waiting:
            self._issue(batch)

    # ---- I/O -------------------------------------------------------------------------------

    @property
    def _accepts(self) -> bool:
        """Whether operations may go to the rings."""
        return bool(self._pollables) and self._drain_timer is None and not self._broken

    async def _one(self, operation: Operation) -> Operation:
        await self.submit([operation])
        if operation.status:
            raise OSError(-operation.status, os.strerror(-operation.status))
        return operation

    def _issue(self, batch: Batch) -> None:
        number = self._next_queue % len(self._queues)
        queue = self._queues[number]
        self._next_queue += 1
        try:
            if self.info:
                check(batch.operations, self.info)
            pointers = ffi.new("struct pv_blkfront_io *[]", len(batch.operations))
            for index in range(len(batch.operations)):
                pointers[index] = ffi.addressof(batch.ios, index)
            result = lib.pv_blkfront_submit(queue, pointers, len(batch.operations))
            if self._pollables and lib.pv_blkfront_has_news(queue):
                # Some need no backend: they are finished already.
                self._pollables[number].wake()
            if result == -errno.EPROTO:
                self._waiting.append(batch)
            elif result < 0:
                raise UsageError(f"the operation is not possible: {os.strerror(-result)}")
        except UsageError as error:
            for index in range(len(batch.operations)):
                self._batches.pop(batch.first_key + index, None)
            batch.done.set_exception(error)

    def _poll(self, queue: Any) -> int:
        count = int(lib.pv_blkfront_poll(queue, self._done, BUDGET))
        if count < 0:
            self._broke(queue)
            return count
        for index in range(count):
            self._finish(self._done[index])
        self._check_drained()
        return count

    def _finish(self, io: Any) -> None:
        issued = self._batches.pop(int(ffi.cast("uintptr_t", io.user)), None)
        if issued is not None:  # else by whoever drives the queues in this object's place
            batch, index = issued
            batch.finish(index, io.status)

    def _broke(self, queue: Any) -> None:
        """The backend's answers cannot be believed any more: this connection is over."""
        if self._broken:
            return
        self._broken = True
        self.broken_rings += 1
        self.peer_errors += 1
        self.fatal(f"the backend broke the ring protocol ({lib.pv_blkfront_broken(queue)})")

    def _check_drained(self) -> None:
        if self._drain_timer and not any(lib.pv_blkfront_outstanding(q) for q in self._queues):
            self.drained()

    def _undrain(self) -> None:
        if self._drain_timer:
            self._drain_timer.cancel()
            self._drain_timer = None
            self._issue_waiting()
