"""The xenstore keys of a network device: records to key tables, and back.

Nothing here does I/O. Writers return the keys to write, relative to the device's directory;
readers take such a table, as read in one transaction, and raise PeerError for what no correct peer
writes. Key names and defaults: Xen's io/netif.h, and for `xdp-headroom` Linux.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pvdrivers.ring.errors import PeerError
from pvdrivers.vnif.features import (
    DEFAULT_MTU,
    MAX_MTU,
    MAX_QUEUES,
    MAX_XDP_HEADROOM,
    BackendFeatures,
    Offloads,
)
from pvdrivers.vnif.mac import parse_mac
from pvdrivers.xenbus.keys import (
    EVENT_CHANNEL,
    MAX_QUEUES_KEY,
    NUM_QUEUES_KEY,
    PROTOCOLS,
    Keys,
    number,
    queue_prefixes,
    read_num_queues,
)

OFFLOAD_KEYS = (
    "feature-sg",
    "feature-gso-tcpv4",
    "feature-gso-tcpv6",
    "feature-no-csum-offload",
    "feature-ipv6-csum-offload",
)
BACKEND_KEYS = (
    *OFFLOAD_KEYS,
    "feature-rx-copy",
    "feature-split-event-channels",
    MAX_QUEUES_KEY,
    "feature-multicast-control",
    "feature-dynamic-multicast-control",
    "feature-ctrl-ring",
    "feature-xdp-headroom",
)
SPLIT = ("event-channel-tx", "event-channel-rx")
RINGS = ("tx-ring-ref", "rx-ring-ref")
QUEUE_KEYS = (*RINGS, EVENT_CHANNEL, *SPLIT)
CONTROL_KEYS = ("ctrl-ring-ref", "event-channel-ctrl")
MULTICAST_KEY = "request-multicast-control"
XDP_KEY = "xdp-headroom"
# What a frontend writes of the device as a whole, and where the flat keys of one queue are.
FRONTEND_HEAD_KEYS = (
    "protocol",
    "request-rx-copy",
    "feature-rx-notify",
    *OFFLOAD_KEYS,
    MULTICAST_KEY,
    XDP_KEY,
    NUM_QUEUES_KEY,
    *CONTROL_KEYS,
    *QUEUE_KEYS,
)
LINK_KEYS = ("carrier", "speed")  # the backend's, which may change


def flag(keys: Keys, key: str, default: bool = False) -> bool:
    return number(keys, key, int(default)) != 0


def _offload_keys(offloads: Offloads) -> dict[str, str]:
    values = (
        offloads.sg,
        offloads.gso_tcpv4,
        offloads.gso_tcpv6,
        not offloads.csum_ipv4,
        offloads.csum_ipv6,
    )
    return {key: str(int(value)) for key, value in zip(OFFLOAD_KEYS, values, strict=True)}


def _read_offloads(keys: Keys) -> Offloads:
    sg, gso_tcpv4, gso_tcpv6, no_csum, csum_ipv6 = (flag(keys, key) for key in OFFLOAD_KEYS)
    return Offloads(sg, gso_tcpv4, gso_tcpv6, not no_csum, csum_ipv6)


# ---- backend's keys ------------------------------------------------------------------------


def backend_keys(features: BackendFeatures) -> dict[str, str]:
    """What a backend publishes before InitWait."""
    flags = {
        "feature-rx-copy": features.rx_copy,
        "feature-rx-flip": False,
        "feature-split-event-channels": features.split_event_channels,
        "feature-multicast-control": features.multicast_control,
        "feature-dynamic-multicast-control": features.dynamic_multicast_control,
        "feature-ctrl-ring": features.control_ring,
        "feature-xdp-headroom": features.xdp_headroom,
    }
    keys = _offload_keys(features.offloads) | {key: str(int(has)) for key, has in flags.items()}
    return keys | {MAX_QUEUES_KEY: str(features.max_queues)}


def read_backend(keys: Keys) -> BackendFeatures:
    """A backend's offer (BACKEND_KEYS). More queues than we can use are cut down."""
    return BackendFeatures(
        rx_copy=flag(keys, "feature-rx-copy"),
        offloads=_read_offloads(keys),
        split_event_channels=flag(keys, "feature-split-event-channels"),
        max_queues=max(1, min(number(keys, MAX_QUEUES_KEY, 1), MAX_QUEUES)),
        multicast_control=flag(keys, "feature-multicast-control"),
        dynamic_multicast_control=flag(keys, "feature-dynamic-multicast-control"),
        control_ring=flag(keys, "feature-ctrl-ring"),
        xdp_headroom=flag(keys, "feature-xdp-headroom"),
    )


def read_link(keys: Keys) -> tuple[bool, int]:
    """Whether the link is up, and its speed in Mbit/s or 0 (LINK_KEYS)."""
    return flag(keys, "carrier", default=True), number(keys, "speed", 0)


# ---- keys of one queue ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QueueRings:
    """A queue as its frontend publishes it; both ports are the same where it has one channel."""

    index: int
    tx_ring_ref: int
    rx_ring_ref: int
    tx_port: int
    rx_port: int

    @classmethod
    def read(cls, keys: Keys, index: int, prefix: str) -> "QueueRings":
        names = [f"{prefix}{key}" for key in (*RINGS, EVENT_CHANNEL, *SPLIT)]
        tx_ref, rx_ref, both, tx, rx = names
        one = both in keys
        if one and (tx in keys or rx in keys):
            raise PeerError(f"{both} is there beside {tx if tx in keys else rx}")
        # Without any, the keys that are missing are those of one event channel.
        split = not one and (tx in keys or rx in keys)
        ports = [number(keys, name) for name in ((tx, rx) if split else (both, both))]
        return cls(index, number(keys, tx_ref), number(keys, rx_ref), *ports)

    def keys(self, prefix: str) -> dict[str, str]:
        values = {"tx-ring-ref": self.tx_ring_ref, "rx-ring-ref": self.rx_ring_ref}
        if self.tx_port == self.rx_port:
            values[EVENT_CHANNEL] = self.tx_port
        else:
            values |= dict(zip(SPLIT, (self.tx_port, self.rx_port), strict=True))
        return {prefix + key: str(value) for key, value in values.items()}


@dataclass(frozen=True, slots=True)
class ControlRing:
    """The control ring as its frontend publishes it."""

    ring_ref: int
    port: int

    def keys(self) -> dict[str, str]:
        return dict(zip(CONTROL_KEYS, map(str, (self.ring_ref, self.port)), strict=True))


# ---- frontend's keys -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FrontendHead:
    """What a frontend publishes of the device as a whole (FRONTEND_HEAD_KEYS)."""

    protocol: str | None  # None: it does not say, as Linux and Windows do not
    queues: int
    offloads: Offloads
    rx_notify: bool
    multicast_control: bool
    xdp_headroom: int
    control: ControlRing | None

    def keys(self) -> dict[str, str]:
        keys = {
            "request-rx-copy": "1",
            "feature-rx-notify": str(int(self.rx_notify)),
            **_offload_keys(self.offloads),
            MULTICAST_KEY: str(int(self.multicast_control)),
            XDP_KEY: str(self.xdp_headroom),
        }
        if self.protocol:
            keys["protocol"] = self.protocol
        if self.queues > 1:
            keys[NUM_QUEUES_KEY] = str(self.queues)
        return keys | (self.control.keys() if self.control else {})


def frontend_keys(head: FrontendHead, queues: Sequence[QueueRings]) -> dict[str, str]:
    """What a frontend publishes before Initialised."""
    keys = head.keys()
    for prefix, queue in zip(queue_prefixes(head.queues), queues, strict=True):
        keys |= queue.keys(prefix)
    return keys


def read_frontend_head(keys: Keys, offer: BackendFeatures) -> FrontendHead:
    """What a frontend chose, checked against what this backend had offered."""
    protocol = keys.get("protocol")
    if protocol is not None and protocol not in PROTOCOLS:
        raise PeerError(f"protocol {protocol[:40]!r} is not known")
    if not flag(keys, "request-rx-copy"):
        raise PeerError("request-rx-copy is not 1, and nothing but copying is done")
    queues = read_num_queues(keys, offer.max_queues)
    flat = [key for key in QUEUE_KEYS if key in keys]
    if queues > 1 and flat:
        raise PeerError(f"{flat[0]} is there beside {NUM_QUEUES_KEY} {queues}")
    return FrontendHead(
        protocol=protocol,
        queues=queues,
        offloads=_read_offloads(keys),
        rx_notify=flag(keys, "feature-rx-notify"),
        multicast_control=flag(keys, MULTICAST_KEY),
        xdp_headroom=read_xdp_headroom(keys),
        control=_read_control(keys) if offer.control_ring else None,
    )


def _read_control(keys: Keys) -> ControlRing | None:
    if not any(key in keys for key in CONTROL_KEYS):
        return None
    return ControlRing(*(number(keys, key) for key in CONTROL_KEYS))


def read_xdp_headroom(keys: Keys) -> int:
    """Bytes in front of each packet that the guest receives (XDP_KEY)."""
    return number(keys, XDP_KEY, 0, MAX_XDP_HEADROOM)


def queue_key_names(queues: int) -> list[str]:
    """Where a frontend of so many queues keeps their rings and event channels."""
    return [prefix + key for prefix in queue_prefixes(queues) for key in QUEUE_KEYS]


def read_queues(keys: Keys, queues: int) -> list[QueueRings]:
    """Rings and event channels of every queue (the keys of `queue_key_names`)."""
    return [
        QueueRings.read(keys, index, prefix) for index, prefix in enumerate(queue_prefixes(queues))
    ]


# ---- what the toolstack tells a frontend ---------------------------------------------------

TOOLSTACK_KEYS = ("mac", "mtu", "disconnect")


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What a toolstack has written for the frontend (TOOLSTACK_KEYS)."""

    mac: bytes
    mtu: int = DEFAULT_MTU
    disconnected: bool = False  # as if the cable were pulled

    @classmethod
    def read(cls, keys: Keys) -> "DeviceInfo":
        try:
            mac = parse_mac(keys.get("mac", ""))
        except ValueError as error:
            raise PeerError(f"mac: {error}") from error
        mtu = number(keys, "mtu", DEFAULT_MTU, MAX_MTU)
        if mtu < 68:
            raise PeerError(f"mtu is {mtu}, 68 at least can be")
        return cls(mac, mtu, flag(keys, "disconnect"))
