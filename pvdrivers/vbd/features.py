"""What each end of a block device can do, and what the two agree on.

`PROTOCOL_FEATURES` is the plain list of what blkif knows and whether we do it; `BackendFeatures`
and `FrontendFeatures` are one end's offer, as found in or written to xenstore; `negotiate` is the
only place where the two meet. An absent key stands for what peers older
than the key do, so a legacy peer needs no case of its own.
"""

from dataclasses import dataclass

from pvdrivers.ring.abi import SECTOR
from pvdrivers.ring.errors import PeerError
from pvdrivers.xenbus.keys import PROTOCOLS, ProtocolFeature

MAX_RING_PAGE_ORDER = 4
MAX_QUEUES = 64
MAX_INDIRECT_SEGMENTS = 4096


PROTOCOL_FEATURES = (
    ProtocolFeature("flush", "feature-flush-cache", True, True, "off where it is refused"),
    ProtocolFeature("barrier", "feature-barrier", True, True, "drain, flush, write, flush"),
    ProtocolFeature("discard", "feature-discard, discard-enable", True, True, ""),
    ProtocolFeature("secure discard", "discard-secure", True, True, "where the store can"),
    ProtocolFeature("persistent grants", "feature-persistent", True, True, ""),
    ProtocolFeature(
        "indirect descriptors",
        "feature-max-indirect-segments",
        True,
        True,
        f"256 by default, up to {MAX_INDIRECT_SEGMENTS}",
    ),
    ProtocolFeature(
        "multi-page ring", "max-ring-page-order, ring-page-order", True, True, "up to 16 pages"
    ),
    ProtocolFeature(
        "multi-page ring, older keys", "max-ring-pages, num-ring-pages", True, True, "both ways"
    ),
    ProtocolFeature(
        "multi-queue",
        "multi-queue-max-queues, multi-queue-num-queues",
        True,
        True,
        f"up to {MAX_QUEUES}",
    ),
    ProtocolFeature("guest ABI", "protocol", True, True, ", ".join(PROTOCOLS)),
    ProtocolFeature("large sectors", "sector-size, physical-sector-size", True, True, "to 4096"),
    ProtocolFeature("online resize", "sectors, state", True, True, ""),
    ProtocolFeature("untrusted backend", "trusted", True, True, "0: bounce pages only"),
    ProtocolFeature(
        "sectors counted in sector-size units",
        "feature-large-sector-size",
        False,
        False,
        "deprecated by the protocol: neither exposed nor honoured",
    ),
    ProtocolFeature("packet operation", "", False, False, "answered EOPNOTSUPP"),
)


@dataclass(frozen=True, slots=True)
class BackendFeatures:
    """What a backend offers; the defaults are those of a backend that writes none of the keys.

    `max_ring_page_order` counts pages of the frontend's ABI. `ring_page_keys` is `order`, `pages`
    or `both`: which of the two forms the backend knows.
    """

    flush: bool = False
    barrier: bool = False
    discard: bool = False
    discard_secure: bool = False
    discard_granularity: int | None = None  # bytes; None: the sector size
    discard_alignment: int = 0  # bytes
    persistent: bool = False
    max_indirect_segments: int = 0
    max_ring_page_order: int = 0
    ring_page_keys: str = "order"
    max_queues: int = 1


@dataclass(frozen=True, slots=True)
class FrontendFeatures:
    """What a frontend wants, and can use, at most."""

    protocol: str = "x86_64-abi"
    flush: bool = True
    barrier: bool = True
    discard: bool = True
    discard_secure: bool = True
    persistent: bool = True
    max_indirect_segments: int = 256
    max_ring_page_order: int = MAX_RING_PAGE_ORDER
    max_queues: int = 1

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol {self.protocol!r} is none of {', '.join(PROTOCOLS)}")
        if not 0 <= self.max_ring_page_order <= MAX_RING_PAGE_ORDER:
            raise ValueError(f"max_ring_page_order is 0 to {MAX_RING_PAGE_ORDER}")
        if not 1 <= self.max_queues <= MAX_QUEUES:
            raise ValueError(f"max_queues is 1 to {MAX_QUEUES}")


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What a backend tells of the disk itself, in the transaction before it is Connected."""

    sectors: int  # 512-byte units
    sector_size: int = SECTOR  # bytes
    physical_sector_size: int = SECTOR
    cdrom: bool = False
    removable: bool = False
    read_only: bool = False

    @property
    def info(self) -> int:
        """The bits of the `info` key."""
        return self.cdrom | self.removable << 1 | self.read_only << 2


@dataclass(frozen=True, slots=True)
class RingLayout:
    """What a frontend chooses before it allocates."""

    protocol: str
    queues: int
    ring_page_order: int
    ring_page_keys: str  # `single`, `order` or `pages`: the form the ring refs are written in
    max_indirect_segments: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both ends will use on this connection."""

    layout: RingLayout
    flush: bool
    barrier: bool
    discard: bool
    discard_secure: bool
    persistent: bool

    def describe(self) -> str:
        """One line, for logs and tools."""
        layout = self.layout
        words = [f"{layout.queues} queue{'s' if layout.queues > 1 else ''}"]
        words.append(f"of {1 << layout.ring_page_order} ring page(s)")
        words.append(layout.protocol)
        if layout.max_indirect_segments:
            words.append(f"indirect {layout.max_indirect_segments}")
        for name in ("flush", "barrier", "discard", "discard_secure", "persistent"):
            if getattr(self, name):
                words.append(name.replace("_", "-"))
        return " ".join(words)


def choose_layout(front: FrontendFeatures, back: BackendFeatures) -> RingLayout:
    """What the frontend allocates, from what the backend published before InitWait."""
    order = min(front.max_ring_page_order, back.max_ring_page_order)
    form = "single" if order == 0 else "pages" if back.ring_page_keys == "pages" else "order"
    return RingLayout(
        protocol=front.protocol,
        queues=min(front.max_queues, back.max_queues),
        ring_page_order=order,
        ring_page_keys=form,
        max_indirect_segments=min(front.max_indirect_segments, back.max_indirect_segments),
    )


def negotiate(front: FrontendFeatures, back: BackendFeatures) -> Agreement:
    """What this pair uses. Secure discard needs discard."""
    discard = front.discard and back.discard
    return Agreement(
        layout=choose_layout(front, back),
        flush=front.flush and back.flush,
        barrier=front.barrier and back.barrier,
        discard=discard,
        discard_secure=discard and front.discard_secure and back.discard_secure,
        persistent=front.persistent and back.persistent,
    )


def check_device_info(info: DeviceInfo) -> DeviceInfo:
    """`info`, or PeerError when no disk can be like that (02-vbd: sector-size)."""
    for size in (info.sector_size, info.physical_sector_size):
        if size < SECTOR or size & (size - 1):
            raise PeerError(f"sector size {size} is not a power of two from {SECTOR}")
    if info.sector_size > 4096:
        raise PeerError(f"sector size {info.sector_size} is beyond 4096")
    if info.physical_sector_size % info.sector_size:
        raise PeerError(
            f"physical sector size {info.physical_sector_size} is not a multiple of "
            f"sector size {info.sector_size}"
        )
    if info.sectors % (info.sector_size // SECTOR):
        raise PeerError(f"{info.sectors} sectors do not fill sectors of {info.sector_size} bytes")
    return info
