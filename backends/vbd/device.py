"""The block backend on xenbus: what it offers, reads and publishes. Its data plane is in C."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec

from pvdrivers._core import ffi, lib
from pvdrivers.backends.device import Backend, DeviceContext, QueueContext
from pvdrivers.backends.inflight import LogMemory
from pvdrivers.backends.stores.filters import Filter
from pvdrivers.backends.stores.store import BlockStore, FileStore
from pvdrivers.backends.vbd.queue import VbdQueue
from pvdrivers.backends.vbd.store_errors import StoreError, StoreErrors
from pvdrivers.ring.abi import SECTOR, Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.vbd.features import (
    MAX_INDIRECT_SEGMENTS,
    MAX_QUEUES,
    MAX_RING_PAGE_ORDER,
    BackendFeatures,
    DeviceInfo,
    check_device_info,
)
from pvdrivers.vbd.keys import (
    EARLY_KEYS,
    FRONTEND_HEAD_KEYS,
    LATE_KEYS,
    FrontendHead,
    early_keys,
    late_keys,
    queue_key_names,
    read_backend,
    read_frontend_head,
    read_queues,
)
from pvdrivers.xenbus.keys import PROTOCOLS, Keys, QueueKeys
from pvdrivers.xenbus.states import Event

RingPageKeys = Literal["order", "pages", "both"]


class VbdBackendOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The most that a backend offers, without what the store cannot do; pvbackd's `[limits]`."""

    persistent: bool = True
    max_indirect_segments: int = 256
    max_ring_page_order: int = MAX_RING_PAGE_ORDER
    ring_page_keys: RingPageKeys = "both"
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
        if self.ring_page_keys not in get_args(RingPageKeys):
            raise ValueError("ring_page_keys is order, pages or both")
        if self.default_protocol not in PROTOCOLS:
            raise ValueError(f"default_protocol is one of {', '.join(PROTOCOLS)}")


class VbdBackend(Backend[QueueKeys, VbdQueue]):
    """Serves one disk of one guest from a store. The store must outlive it."""

    own_watches: tuple[str, ...] = ("state", "online", "hotplug-status")

    def __init__(
        self,
        context: DeviceContext,
        store: BlockStore,
        options: VbdBackendOptions | None = None,
    ) -> None:
        super().__init__(context)
        self.store = store
        self.options = options or VbdBackendOptions()
        self.features = BackendFeatures()
        self.head: FrontendHead | None = None  # of the present connection
        self._writable = True
        self._capacity = int(store.pointer.geometry.sectors)
        self._store_errors = StoreErrors(self.path)

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

    @property
    def last_store_error(self) -> StoreError | None:
        """The last operation that the store has failed and whose guest got an error."""
        return self._store_errors.last

    @property
    def broken_rings(self) -> int:
        """Rings that frontends have overrun."""
        return self.statistics().get("ring_overruns", 0)

    def status(self) -> dict[str, Any]:
        geometry = self.store.pointer.geometry
        bottom = self.store
        while isinstance(bottom, Filter):
            bottom = bottom.below
        return super().status() | {
            "store": repr(self.store),
            "engine": bottom.engine if isinstance(bottom, FileStore) else None,
            "size": geometry.sectors * SECTOR,
            "sector_size": geometry.sector_size,
            "read_only": bool(geometry.read_only),
            "last_store_error": str(self.last_store_error or "") or None,
        }

    def describe(self) -> str:
        line = super().describe()
        if self.head and self._queues:
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
        self._writable = self._may_write(keys)
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

    async def read_own_offer(self) -> None:
        keys = await self.client.read_keys(self.path, (*EARLY_KEYS, *LATE_KEYS, "mode"))
        self._writable = self._may_write(keys)
        self.features, _ = read_backend(keys)

    async def read_rings(self) -> Sequence[QueueKeys]:
        keys = await self.read_peer_keys(FRONTEND_HEAD_KEYS)
        self.head = read_frontend_head(keys, self.features, self.options.default_protocol)
        keys = await self.read_peer_keys(queue_key_names(self.head.layout))
        return read_queues(keys, self.head.layout)

    async def publish(self) -> None:
        await self.publish_disk(await self.device_info())

    async def update_size(self) -> None:
        """Writes the size, and the state once more so that the frontend looks."""
        info = await self.device_info()
        await self.write_keys({"sectors": str(info.sectors), "state": str(int(self.state))})

    async def replace_store(self, store: BlockStore) -> BlockStore:
        """Goes on with another store and returns the old one, on which what was in flight has
        ended. The frontend does not notice. For hooks only.
        """
        old = self.store
        async with self.queues_closed():
            self.store = store
            self._capacity = max(self._capacity, int(store.pointer.geometry.sectors))
        return old

    async def disconnect(self) -> None:
        await super().disconnect()
        self.head = None

    # ---- queues ----------------------------------------------------------------------------

    def inflight_size(self, ring: QueueKeys) -> int:
        return int(lib.pv_blkback_inflight_size(self._abi, len(ring.ring_refs)))

    def open_queue(self, ring: QueueKeys, context: QueueContext) -> VbdQueue:
        config = self._config(ring, context.inflight)
        config |= {"evtchn": context.channels.cdata, "fault_fd": context.fault_fd}
        return VbdQueue(config, self.store, self._store_errors)

    def is_resumable(self, ring: QueueKeys, inflight: LogMemory) -> bool:
        return VbdQueue.is_resumable(self._config(ring, inflight), self.store)

    def look_at_faults(self) -> None:
        for queue in self._queues:
            queue.log_store_errors()
        super().look_at_faults()

    @property
    def _abi(self) -> Abi:
        assert self.head
        return Abi.from_protocol(self.head.layout.protocol)

    @property
    def _persistent(self) -> bool:
        return bool(self.head and self.head.persistent and self.features.persistent)

    def _may_write(self, keys: Keys) -> bool:
        """What the toolstack allows (`mode`) and the store can."""
        writable = keys.get("mode", "w").startswith("w")
        return writable and not self.store.pointer.geometry.read_only

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

    def _config(self, ring: QueueKeys, inflight: LogMemory) -> dict[str, Any]:
        """Fields of `struct pv_blkback_config`, which points into them."""
        return {
            "hypervisor": self.hypervisor.cdata,
            "frontend": self.peer_domid,
            "abi": self._abi,
            "ring_refs": ffi.new("grant_ref_t[]", list(ring.ring_refs)),
            "ring_pages": len(ring.ring_refs),
            "remote_port": ring.event_channel,
            "read_only": not self._writable,
            "flush": self.features.flush,
            "barrier": self.features.barrier,
            "discard": self.features.discard,
            "secure_discard": self.features.discard_secure,
            "persistent": self._persistent,
            "max_indirect_segments": self.features.max_indirect_segments,
            "inflight": inflight.address,
            "inflight_size": inflight.size,
        }
