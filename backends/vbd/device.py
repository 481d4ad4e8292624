"""The block backend in an asyncio loop: xenbus on one side, the C data plane on the other."""

import asyncio
import errno
import os
from dataclasses import dataclass
from typing import Any, Protocol

from pvdrivers._core import ffi, lib
from pvdrivers.backends.inflight import InflightFile
from pvdrivers.backends.trouble import StoreError, StoreErrors, TroubleWatch
from pvdrivers.hypervisor import EventChannels, Hypervisor
from pvdrivers.poll.drivers import LoopDriver, PollDriver
from pvdrivers.ring.abi import SECTOR, Abi
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.vbd.features import (
    MAX_INDIRECT_SEGMENTS,
    MAX_QUEUES,
    MAX_RING_PAGE_ORDER,
    BackendFeatures,
    DeviceInfo,
    check_device_info,
)
from pvdrivers.vbd.keys import (
    FRONTEND_HEAD_KEYS,
    FrontendHead,
    early_keys,
    late_keys,
    queue_key_names,
    read_frontend_head,
    read_queues,
)
from pvdrivers.xenbus.device import BackendDevice
from pvdrivers.xenbus.keys import PROTOCOLS, QueueKeys
from pvdrivers.xenbus.states import Event
from pvdrivers.xenstore.client import XenstoreClient

QUIESCE_STEP = 0.001  # seconds between looks at operations a store still has


class BlockStore(Protocol):
    """Where the sectors are: whatever holds a `struct pv_blk_store *`."""

    @property
    def pointer(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class VbdBackendOptions:
    """What a backend offers at most; what the store cannot do is left out by itself."""

    persistent: bool = True
    max_indirect_segments: int = 256
    max_ring_page_order: int = MAX_RING_PAGE_ORDER
    ring_page_keys: str = "both"
    max_queues: int = 4
    barrier: bool = True
    default_protocol: str = "x86_32-abi"  # of frontends that name none, as Linux on x86 has it
    wait_for_hotplug: bool = False  # connect only when a script says `connected`

    def __post_init__(self) -> None:
        if not 0 <= self.max_indirect_segments <= MAX_INDIRECT_SEGMENTS:
            raise ValueError(f"max_indirect_segments is 0 to {MAX_INDIRECT_SEGMENTS}")
        if not 0 <= self.max_ring_page_order <= MAX_RING_PAGE_ORDER:
            raise ValueError(f"max_ring_page_order is 0 to {MAX_RING_PAGE_ORDER}")
        if not 1 <= self.max_queues <= MAX_QUEUES:
            raise ValueError(f"max_queues is 1 to {MAX_QUEUES}")
        if self.ring_page_keys not in ("order", "pages", "both"):
            raise ValueError("ring_page_keys is order, pages or both")
        if self.default_protocol not in PROTOCOLS:
            raise ValueError(f"default_protocol is one of {', '.join(PROTOCOLS)}")


class VbdBackend(BackendDevice):
    """Serves one disk of one guest from a store. The store must outlive it."""

    own_watches: tuple[str, ...] = ("state", "online", "hotplug-status")

    def __init__(
        self,
        client: XenstoreClient,
        path: str,
        hypervisor: Hypervisor,
        store: BlockStore,
        options: VbdBackendOptions | None = None,
    ) -> None:
        super().__init__(client, path)
        self.hypervisor = hypervisor
        self.store = store
        self.options = options or VbdBackendOptions()
        self.features = BackendFeatures()
        self.head: FrontendHead | None = None
        self.pumps: PollDriver = LoopDriver()
        self.inflight: InflightFile | None = None  # where a successor learns what was in flight
        self._writable = True
        self._capacity = int(store.pointer.geometry.sectors)
        self._queues: list[Any] = []
        self._queue_keys: list[QueueKeys] = []
        self._channels: list[EventChannels] = []  # of each queue
        self._past_stats: dict[str, int] = {}
        self._store_errors = StoreErrors(path)
        self._trouble_watch: TroubleWatch | None = None

    # ---- what its user calls ---------------------------------------------------------------

    def resize(self, sectors: int | None = None) -> None:
        """The disk now has `sectors` 512-byte sectors; None: as many as its store says.

        UsageError: not a number of whole sectors of the disk, or more than its store has ever
        had. A store that has grown must say so first.
        """
        geometry = self.store.pointer.geometry
        self._capacity = max(self._capacity, int(geometry.sectors))
        if sectors is not None:
            if not 0 <= sectors <= self._capacity:
                raise UsageError(f"{sectors} sectors on a store of {self._capacity}")
            if sectors % (geometry.sector_size // SECTOR):
                raise UsageError(f"{sectors} sectors do not fill those of {geometry.sector_size}")
            geometry.sectors = sectors
        self.request(Event.RESIZE)

    def statistics(self) -> dict[str, int]:
        """Counters over all queues and connections; the first seven as Linux names them."""
        totals = dict(self._past_stats)
        for queue in self._queues:
            _add_statistics(totals, queue)
        return totals

    @property
    def last_store_error(self) -> StoreError | None:
        """The operation that the store has failed last, and that its guest was told of."""
        return self._store_errors.last

    @property
    def broken_rings(self) -> int:
        """Rings that frontends have overrun."""
        return self.statistics().get("ring_overruns", 0)

    def describe(self) -> str:
        line = super().describe()
        if self.head:
            layout = self.head.layout
            line += (
                f", {len(self._queues)} queues of {1 << layout.ring_page_order} pages"
                f" {layout.protocol}{' persistent' if self._persistent else ''}"
            )
        mode = "w" if self._writable else "r"
        line += f", mode {mode}, {self.store.pointer.geometry.sectors} sectors"
        line += f", {self.broken_rings} broken rings" if self.broken_rings else ""
        return line + (
            f", last store error {self.last_store_error}" if self.last_store_error else ""
        )

    # ---- hooks -----------------------------------------------------------------------------

    async def offer(self) -> None:
        keys = await self.client.read_keys(self.path, ("mode", "discard-enable"))
        geometry = self.store.pointer.geometry
        self._writable = keys.get("mode", "w").startswith("w") and not geometry.read_only
        discard = geometry.can_discard and self._writable and keys.get("discard-enable", "1") != "0"
        options = self.options
        self.features = BackendFeatures(
            flush=geometry.can_flush,
            barrier=options.barrier and geometry.can_flush,
            discard=discard,
            discard_secure=discard and geometry.can_secure_discard,
            discard_granularity=geometry.discard_granularity or None,
            discard_alignment=geometry.discard_alignment,
            persistent=options.persistent,
            max_indirect_segments=options.max_indirect_segments,
            max_ring_page_order=options.max_ring_page_order,
            ring_page_keys=options.ring_page_keys,
            max_queues=options.max_queues,
        )
        await self.publish_limits()

    async def publish_limits(self) -> None:
        """What a frontend reads before it allocates."""
        await self.write_keys(early_keys(self.features))

    async def publish_disk(self, info: DeviceInfo) -> None:
        """What a frontend reads when this end is Connected."""
        await self.write_keys(late_keys(self.features, info))

    async def ready(self) -> bool:
        if not self.options.wait_for_hotplug:
            return True
        return await self.client.read_optional(f"{self.path}/hotplug-status") == "connected"

    async def connect(self) -> None:
        self.head = await self._read_rings()
        info = await self.device_info()
        try:
            self._map(self.head)
            await self.publish_disk(info)
            self.serve()
        except BaseException:
            await self.disconnect()
            raise

    async def update_size(self) -> None:
        """Writes the size, and the state once more so that the frontend looks."""
        info = await self.device_info()
        await self.write_keys({"sectors": str(info.sectors), "state": str(int(self.state))})

    async def replace_store(self, store: BlockStore) -> BlockStore:
        """Goes on with another store and returns the old one, on which what was in flight has
        ended. The frontend does not notice. For hooks only.
        """
        old, head = self.store, self.head
        await self.disconnect()
        self.store = store
        self._capacity = max(self._capacity, int(store.pointer.geometry.sectors))
        if head:
            self.head = head
            self._map(head)
            self.serve()
        return old

    async def disconnect(self) -> None:
        for queue in self._queues:
            self.pumps.remove(queue)
            lib.pv_blkback_stop(queue)
        while self._queues:
            # A disarmed queue has no event for the store's last operation.
            while not lib.pv_blkback_quiesce(self._queues[-1], self._now()):  # noqa: ASYNC110
                await asyncio.sleep(QUIESCE_STEP)
            queue = self._queues.pop()  # before it is freed: statistics are asked for meanwhile
            _add_statistics(self._past_stats, queue)
            self._store_errors.take(queue, self.store)
            self._store_errors.forget(queue)
            lib.pv_blkback_destroy(queue)
        for channels in self._channels:
            channels.close()
        self._channels.clear()
        if self._trouble_watch:
            self._trouble_watch.close()
            self._trouble_watch = None
        self.head = None

    async def removed(self) -> None:
        await self.disconnect()  # again, when an abort has cut it short

    # ---- connection ------------------------------------------------------------------------

    @property
    def _persistent(self) -> bool:
        return bool(self.head and self.head.persistent and self.features.persistent)

    def _now(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9)

    async def device_info(self) -> DeviceInfo:
        keys = await self.client.read_keys(self.path, ("device-type", "removable"))
        geometry = self.store.pointer.geometry
        info = DeviceInfo(
            sectors=geometry.sectors,
            sector_size=geometry.sector_size,
            physical_sector_size=geometry.physical_sector_size or geometry.sector_size,
            cdrom=keys.get("device-type") == "cdrom",
            removable=keys.get("removable") == "1",
            read_only=not self._writable,
        )
        return check_device_info(info)

    async def _read_rings(self) -> FrontendHead:
        """What the frontend says of itself and, in _queue_keys, of its rings."""
        keys = await self.read_peer_keys(FRONTEND_HEAD_KEYS)
        head = read_frontend_head(keys, self.features, self.options.default_protocol)
        keys = await self.read_peer_keys(queue_key_names(head.layout))
        self._queue_keys = read_queues(keys, head.layout)
        return head

    def _configs(self, head: FrontendHead) -> list[dict[str, Any]]:
        """Each queue's `struct pv_blkback_config`, but for its event channel handle. They have to
        be there as long as the struct, which points into them."""
        abi = Abi.from_protocol(head.layout.protocol)
        queues = self._queue_keys
        sizes = [lib.pv_blkback_inflight_size(abi, len(keys.ring_refs)) for keys in queues]
        logs = self.inflight.map(sizes) if self.inflight else [ffi.NULL] * len(sizes)
        return [
            self._config(head, keys) | {"inflight": memory, "inflight_size": size}
            for keys, memory, size in zip(queues, logs, sizes, strict=True)
        ]

    def _config(self, head: FrontendHead, keys: QueueKeys) -> dict[str, Any]:
        return {
            "hypervisor": self.hypervisor.cdata,
            "frontend": self.peer_domid,
            "abi": Abi.from_protocol(head.layout.protocol),
            "ring_refs": ffi.new("grant_ref_t[]", list(keys.ring_refs)),
            "ring_pages": len(keys.ring_refs),
            "remote_port": keys.event_channel,
            "store": self.store.pointer,
            "read_only": not self._writable,
            "flush": self.features.flush,
            "barrier": self.features.barrier,
            "discard": self.features.discard,
            "secure_discard": self.features.discard_secure,
            "persistent": head.persistent and self.features.persistent,
            "max_indirect_segments": self.features.max_indirect_segments,
        }

    def _map(self, head: FrontendHead) -> None:
        """Maps every queue's ring and binds its event channel."""
        self._trouble_watch = TroubleWatch(self._look_at_trouble)
        for config, keys in zip(self._configs(head), self._queue_keys, strict=True):
            # One for each: whoever pumps a queue has its handle for himself.
            self._channels.append(self.hypervisor.open_event_channels())
            config["evtchn"] = self._channels[-1].cdata
            config["trouble_fd"] = self._trouble_watch.fd
            queue = lib.pv_blkback_create(ffi.new("struct pv_blkback_config *", config))
            if queue == ffi.NULL:
                reason = os.strerror(ffi.errno)
                if ffi.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE):
                    raise OSError(ffi.errno, f"no ring: {reason}")
                where = f"ring {list(keys.ring_refs)} with port {keys.event_channel}"
                raise PeerError(f"cannot use {where}: {reason}")
            self._queues.append(queue)

    def _look_at_trouble(self) -> None:
        for queue in self._queues:
            self._store_errors.take(queue, self.store)
        broken = [i for i, queue in enumerate(self._queues) if lib.pv_blkback_broken(queue)]
        if broken and self._trouble_watch:
            # A frontend that claims more requests than its ring holds cannot be served on it.
            self._trouble_watch.stop()  # one is as bad as several
            self.peer_errors += 1
            self.fatal(f"the frontend overran its ring (queue {', '.join(map(str, broken))})")

    @property
    def queues(self) -> list[Any]:
        """The present connection's `struct pv_blkback_queue *`."""
        return list(self._queues)

    def serve(self) -> None:
        """Lets the queues run; who drives them by other means replaces this."""
        for queue, channels in zip(self._queues, self._channels, strict=True):
            self.pumps.add(queue, channels)

    def wake_frontend(self) -> None:
        """Notifies of what an earlier backend may have answered without doing so."""
        for queue, channels in zip(self._queues, self._channels, strict=True):
            channels.notify(lib.pv_blkback_port(queue))


def _add_statistics(totals: dict[str, int], queue: Any) -> None:
    stats = ffi.new("struct pv_blkback_stats *")
    lib.pv_blkback_get_stats(queue, stats)
    for name, field in ffi.typeof("struct pv_blkback_stats").fields:
        value = getattr(stats, name)
        count = sum(value) if field.type.kind == "array" else int(value)
        totals[name] = totals.get(name, 0) + count
