"""The xenstore keys of a block device: records to key tables, and back.

Nothing here does I/O. Writers return the keys to write, relative to the device's directory;
readers take such a table, as read in one transaction, and raise PeerError for what no correct peer
writes. Key names and defaults: Xen's io/blkif.h.
"""

from dataclasses import dataclass

from pvdrivers.ring.abi import SECTOR
from pvdrivers.ring.errors import PeerError
from pvdrivers.vbd.features import (
    MAX_INDIRECT_SEGMENTS,
    MAX_QUEUES,
    MAX_RING_PAGE_ORDER,
    BackendFeatures,
    DeviceInfo,
    RingLayout,
    check_device_info,
)
from pvdrivers.vbd.numbering import name_of
from pvdrivers.xenbus.keys import (
    MAX_QUEUES_KEY,
    NUM_QUEUES_KEY,
    Keys,
    QueueKeys,
    number,
    queue_prefixes,
    read_num_queues,
    read_protocol,
    ring_ref_names,
)

EARLY_KEYS = (
    "feature-max-indirect-segments",
    "max-ring-page-order",
    "max-ring-pages",
    MAX_QUEUES_KEY,
)
LATE_KEYS = (
    "feature-barrier",
    "feature-flush-cache",
    "feature-discard",
    "discard-granularity",
    "discard-alignment",
    "discard-secure",
    "feature-persistent",
    "sectors",
    "sector-size",
    "physical-sector-size",
    "info",
)
NUMBER_KEYS = ("virtual-device", "virtual-device-ext")
FRONTEND_HEAD_KEYS = (
    "protocol",
    "ring-page-order",
    "num-ring-pages",
    NUM_QUEUES_KEY,
    "feature-persistent",
)


# ---- backend's keys ------------------------------------------------------------------------


def early_keys(features: BackendFeatures) -> dict[str, str]:
    """What a backend publishes before InitWait."""
    keys = {MAX_QUEUES_KEY: str(features.max_queues)}
    if features.max_indirect_segments:
        keys["feature-max-indirect-segments"] = str(features.max_indirect_segments)
    if features.ring_page_keys in ("order", "both"):
        keys["max-ring-page-order"] = str(features.max_ring_page_order)
    if features.ring_page_keys in ("pages", "both"):
        keys["max-ring-pages"] = str(1 << features.max_ring_page_order)
    return keys


def late_keys(features: BackendFeatures, info: DeviceInfo) -> dict[str, str]:
    """What a backend publishes in the transaction before Connected."""
    keys = {
        "feature-barrier": str(int(features.barrier)),
        "feature-flush-cache": str(int(features.flush)),
        "feature-discard": str(int(features.discard)),
        "feature-persistent": str(int(features.persistent)),
        "sectors": str(info.sectors),
        "sector-size": str(info.sector_size),
        "physical-sector-size": str(info.physical_sector_size),
        "info": str(info.info),
    }
    if features.discard:
        granularity = features.discard_granularity or info.sector_size
        keys["discard-granularity"] = str(granularity)
        keys["discard-alignment"] = str(features.discard_alignment)
        keys["discard-secure"] = str(int(features.discard_secure))
    return keys


def read_limits(keys: Keys) -> BackendFeatures:
    """What a frontend may know at InitWait (EARLY_KEYS); the rest stays at its default.

    More than we can use is cut down; a backend that offers nothing is a legacy one.
    """
    order, form = 0, "order"
    if "max-ring-page-order" in keys:
        order = number(keys, "max-ring-page-order")
    elif "max-ring-pages" in keys:
        order, form = number(keys, "max-ring-pages", maximum=1 << 31).bit_length() - 1, "pages"
    return BackendFeatures(
        max_indirect_segments=min(
            number(keys, "feature-max-indirect-segments", 0), MAX_INDIRECT_SEGMENTS
        ),
        max_ring_page_order=max(0, min(order, MAX_RING_PAGE_ORDER)),
        ring_page_keys=form,
        max_queues=max(1, min(number(keys, MAX_QUEUES_KEY, 1), MAX_QUEUES)),
    )


def read_backend(keys: Keys) -> tuple[BackendFeatures, DeviceInfo]:
    """All of a Connected backend's offer (EARLY_KEYS and LATE_KEYS)."""
    limits = read_limits(keys)
    sector_size = number(keys, "sector-size", SECTOR)
    bits = number(keys, "info", 0)
    info = DeviceInfo(
        sectors=number(keys, "sectors", maximum=(1 << 64) - 1),
        sector_size=sector_size,
        physical_sector_size=number(keys, "physical-sector-size", sector_size),
        cdrom=bool(bits & 1),
        removable=bool(bits & 2),
        read_only=bool(bits & 4),
    )
    features = BackendFeatures(
        flush=number(keys, "feature-flush-cache", 0) != 0,
        barrier=number(keys, "feature-barrier", 0) != 0,
        discard=number(keys, "feature-discard", 0) != 0,
        discard_secure=number(keys, "discard-secure", 0) != 0,
        discard_granularity=number(keys, "discard-granularity", sector_size),
        discard_alignment=number(keys, "discard-alignment", 0),
        persistent=number(keys, "feature-persistent", 0) != 0,
        max_indirect_segments=limits.max_indirect_segments,
        max_ring_page_order=limits.max_ring_page_order,
        ring_page_keys=limits.ring_page_keys,
        max_queues=limits.max_queues,
    )
    return features, check_device_info(info)


# ---- frontend's keys -----------------------------------------------------------------------


def read_number(keys: Keys) -> tuple[int, str]:
    """The virtual device number that a toolstack gave the disk (NUMBER_KEYS), and its name.

    PeerError for one that stands for no disk: a guest must not take it up.
    """
    key = next((key for key in NUMBER_KEYS if key in keys), NUMBER_KEYS[0])
    found = number(keys, key)
    try:
        return found, name_of(found)
    except ValueError as error:
        raise PeerError(f"{key}: {error}") from error


@dataclass(frozen=True, slots=True)
class FrontendHead:
    """The keys that say where the others are (FRONTEND_HEAD_KEYS)."""

    layout: RingLayout
    persistent: bool


def _ring_ref_names(layout: RingLayout) -> list[str]:
    one = layout.ring_page_keys == "single"
    return ring_ref_names(None if one else 1 << layout.ring_page_order)


def queue_key_names(layout: RingLayout) -> list[str]:
    """Where a frontend of this layout keeps its rings and event channels."""
    refs = _ring_ref_names(layout)
    return [
        name for prefix in queue_prefixes(layout.queues) for name in QueueKeys.names(prefix, refs)
    ]


def frontend_keys(layout: RingLayout, persistent: bool, queues: list[QueueKeys]) -> dict[str, str]:
    """What a frontend publishes before Initialised."""
    keys = {"protocol": layout.protocol, "feature-persistent": str(int(persistent))}
    if layout.queues > 1:
        keys[NUM_QUEUES_KEY] = str(layout.queues)
    if layout.ring_page_keys == "order":
        keys["ring-page-order"] = str(layout.ring_page_order)
    elif layout.ring_page_keys == "pages":
        keys["num-ring-pages"] = str(1 << layout.ring_page_order)
    for prefix, queue in zip(queue_prefixes(layout.queues), queues, strict=True):
        keys |= queue.keys(prefix, _ring_ref_names(layout))
    return keys


def read_frontend_head(
    keys: Keys, offer: BackendFeatures, default_protocol: str = "x86_32-abi"
) -> FrontendHead:
    """The layout a frontend chose, checked against what this backend had offered.

    `default_protocol` is for frontends that name none: Linux on x86 takes them for x86_32 ones,
    the protocol's header for native ones.
    """
    protocol = read_protocol(keys, default_protocol)
    queues = read_num_queues(keys, offer.max_queues)
    order, form = 0, "single"
    if "ring-page-order" in keys:
        order, form = number(keys, "ring-page-order"), "order"
    elif "num-ring-pages" in keys:
        pages = number(keys, "num-ring-pages")
        if pages == 0 or pages & (pages - 1):
            raise PeerError(f"num-ring-pages is {pages}, not a power of two")
        order = pages.bit_length() - 1
        form = "pages" if order else "single"
    if order > offer.max_ring_page_order:
        raise PeerError(
            f"ring page order {order} is beyond the {offer.max_ring_page_order} offered"
        )
    persistent = number(keys, "feature-persistent", 0) != 0
    layout = RingLayout(protocol, queues, order, form, offer.max_indirect_segments)
    return FrontendHead(layout, persistent)


def read_queues(keys: Keys, layout: RingLayout) -> list[QueueKeys]:
    """Rings and event channels of every queue (the keys of `queue_key_names`)."""
    refs = _ring_ref_names(layout)
    return [QueueKeys.read(keys, prefix, refs) for prefix in queue_prefixes(layout.queues)]
