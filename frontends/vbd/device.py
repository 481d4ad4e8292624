"""The block frontend: its operations, and what it reads and publishes on xenbus."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pvdrivers._core import ffi
from pvdrivers.frontends.device import DRAIN_TIMEOUT, Frontend
from pvdrivers.frontends.vbd.operations import (
    Operation,
    OperationBatch,
    check,
    discard,
    flush,
    read,
    write,
)
from pvdrivers.frontends.vbd.queue import VbdQueue, new_done
from pvdrivers.hypervisor import EventChannels, Hypervisor
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.vbd.features import (
    Agreement,
    DeviceInfo,
    FrontendFeatures,
    RingLayout,
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
from pvdrivers.xenbus.keys import NUM_QUEUES_KEY, QueueKeys
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient

# Keys a frontend writes, to be removed before it writes others.
_HEAD = ("ring-page-order", "num-ring-pages", NUM_QUEUES_KEY)


class VbdFrontend(Frontend[VbdQueue]):
    """One disk of this guest. Requests that fail with their device fail with EIO."""

    def __init__(
        self,
        client: XenstoreClient,
        path: str,
        hypervisor: Hypervisor,
        features: FrontendFeatures | None = None,
        drain_timeout: float = DRAIN_TIMEOUT,
    ) -> None:
        super().__init__(client, path, hypervisor, drain_timeout)
        protocol = hypervisor.abi.protocol
        self.features = features or FrontendFeatures(protocol=protocol)
        if self.features.protocol != protocol:
            raise UsageError(f"a domain of {protocol} cannot speak {self.features.protocol}")
        self.buffer_pages = 0  # of each queue's own granted memory, `pv_blkfront_buffers`
        self.number = -1
        self.name = ""  # what the number stands for: xvda
        self.info: DeviceInfo | None = None
        self.agreement: Agreement | None = None
        self.on_resize: Callable[[DeviceInfo], None] | None = None
        self._batches: dict[int, tuple[OperationBatch, int]] = {}
        self._waiting: list[OperationBatch] = []
        self._next_key = 1
        self._next_queue = 0
        self._done = new_done()
        self._layout: RingLayout | None = None  # of the rings that are allocated next
        self._trusted = True  # the backend, which may then map any page

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
        """Tells the store that the sectors' content is no longer needed."""
        await self._one(discard(sector, count, secure))

    async def submit(self, operations: Iterable[Operation]) -> list[Operation]:
        """Carries out a batch; each operation's `status` and `data` are set afterwards.

        UsageError: an operation is out of range, misaligned or not offered; none was issued.
        """
        listed = list(operations)
        if not listed:
            return listed
        self.check_open()
        batch = OperationBatch(listed, self._next_key)
        for index in range(len(listed)):
            self._batches[self._next_key + index] = (batch, index)
        self._next_key += len(listed)
        if self.accepts:
            self._issue(batch)
        else:
            self._waiting.append(batch)
        await asyncio.shield(batch.done)
        return listed

    async def close(self) -> None:
        """Waits for what is under way, then closes the device in order."""
        await asyncio.gather(*(b.done for b, _ in self._batches.values()), return_exceptions=True)
        await super().close()

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

    async def read_limits(self) -> None:
        limits = read_limits(await self.read_peer_keys(EARLY_KEYS))
        self._layout = choose_layout(self.features, limits)
        own = await self.client.read_keys(self.path, ("trusted", *NUMBER_KEYS))
        self.number, self.name = read_number(own)
        self._trusted = own.get("trusted") != "0"

    def open_queues(self, channels: EventChannels) -> Iterator[VbdQueue]:
        assert self._layout
        config = {
            "hypervisor": self.hypervisor.cdata,
            "evtchn": channels.cdata,
            "backend": self.peer_domid,
            "handle": self.number & 0xFFFF,
            "ring_pages": 1 << self._layout.ring_page_order,
            "max_indirect_segments": self._layout.max_indirect_segments,
            "persistent": self.features.persistent,
            "trusted": self._trusted,
            "buffer_pages": self.buffer_pages,
        }
        for _ in range(self._layout.queues):
            yield VbdQueue(config, self._done, self._finish)

    async def publish(self) -> None:
        assert self._layout
        await self.publish_rings(self._layout, [queue.keys for queue in self._queues])

    async def publish_rings(self, layout: RingLayout, queues: list[QueueKeys]) -> None:
        """What a backend reads before it maps."""
        keys = frontend_keys(layout, self.features.persistent, queues)
        await self.write_keys(keys, without=_HEAD)

    async def negotiate(self) -> None:
        back, info = read_backend(await self.read_peer_keys((*EARLY_KEYS, *LATE_KEYS)))
        agreement = negotiate(self.features, back)
        for queue in self._queues:
            queue.connect(agreement, info)
        self.agreement, self.info = agreement, info

    async def reread(self) -> None:
        await super().reread()
        sectors = await self.client.read_optional(f"{self.peer_path}/sectors")
        if self.info is None or sectors == str(self.info.sectors):
            return
        _, info = read_backend(await self.read_peer_keys((*EARLY_KEYS, *LATE_KEYS)))
        self.info = info
        if self.on_resize:
            self.on_resize(info)

    def fail_requests(self) -> None:
        super().fail_requests()
        for batch, index in list(self._batches.values()):
            batch.finish(index, -errno.EIO)
        self._batches.clear()
        self._waiting.clear()

    def issue_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for batch in waiting:
            self._issue(batch)

    # ---- I/O -------------------------------------------------------------------------------

    async def _one(self, operation: Operation) -> Operation:
        await self.submit([operation])
        if operation.status:
            raise OSError(-operation.status, os.strerror(-operation.status))
        return operation

    def _issue(self, batch: OperationBatch) -> None:
        queue = self._queues[self._next_queue % len(self._queues)]
        self._next_queue += 1
        try:
            if self.info:
                check(batch.operations, self.info)
            result = queue.submit(batch.ios)
            if queue.has_news:
                self.wake(queue)
            if result == -errno.EPROTO:
                self._waiting.append(batch)
            elif result < 0:
                raise UsageError(f"the operation is not possible: {os.strerror(-result)}")
        except UsageError as error:
            for index in range(len(batch.operations)):
                self._batches.pop(batch.first_key + index, None)
            batch.done.set_exception(error)

    def _finish(self, io: Any) -> None:
        issued = self._batches.pop(int(ffi.cast("uintptr_t", io.user)), None)
        if issued is not None:  # else other code drives the queues and issues
            batch, index = issued
            batch.finish(index, io.status)
