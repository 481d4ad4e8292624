"""What each end of a network device can do, and what the two agree on.

`PROTOCOL_FEATURES` is the plain list of what netif knows and whether we do it; `BackendFeatures`
and `FrontendFeatures` are one end's offer, as found in or written to xenstore; `negotiate` is the
only place where the two meet. An absent key stands for what peers older than the key do, so a
legacy peer needs no case of its own: its checksums of IPv4 may be left blank, and nothing else.
"""

from dataclasses import dataclass, fields

from pvdrivers.xenbus.keys import PROTOCOLS, ProtocolFeature

MAX_QUEUES = 64
MAX_XDP_HEADROOM = 2048  # bytes; half of the smallest page is left for the packet
DEFAULT_MTU = 1500
MAX_MTU = 65521  # the longest packet without its Ethernet header

PROTOCOL_FEATURES = (
    ProtocolFeature("copies to rx buffers", "feature-rx-copy, request-rx-copy", True, True, ""),
    ProtocolFeature("page flipping", "feature-rx-flip", False, False, "no kernel does it any more"),
    ProtocolFeature("packets of several slots", "feature-sg", True, True, "both ways"),
    ProtocolFeature("TCP segmentation, IPv4", "feature-gso-tcpv4", True, True, "both ways"),
    ProtocolFeature("TCP segmentation, IPv6", "feature-gso-tcpv6", True, True, "both ways"),
    ProtocolFeature(
        "TCP segmentation, older slots",
        "feature-gso-tcpv4-prefix, feature-gso-tcpv6-prefix",
        False,
        False,
        "historic: ignored",
    ),
    ProtocolFeature("checksum offload, IPv4", "feature-no-csum-offload", True, True, "both ways"),
    ProtocolFeature("checksum offload, IPv6", "feature-ipv6-csum-offload", True, True, "both ways"),
    ProtocolFeature(
        "an event channel for each direction",
        "feature-split-event-channels, event-channel-tx, event-channel-rx",
        True,
        True,
        "",
    ),
    ProtocolFeature(
        "multi-queue",
        "multi-queue-max-queues, multi-queue-num-queues",
        True,
        True,
        f"up to {MAX_QUEUES}",
    ),
    ProtocolFeature(
        "events for rx buffers",
        "feature-rx-notify",
        True,
        True,
        "without it the backend looks for buffers",
    ),
    ProtocolFeature(
        "multicast filter",
        "feature-multicast-control, feature-dynamic-multicast-control, request-multicast-control",
        True,
        True,
        "64 addresses; read again while connected",
    ),
    ProtocolFeature(
        "control ring",
        "feature-ctrl-ring, ctrl-ring-ref, event-channel-ctrl",
        True,
        True,
        "Toeplitz hash, its key and mapping; static grants",
    ),
    ProtocolFeature(
        "XDP headroom",
        "feature-xdp-headroom, xdp-headroom",
        True,
        True,
        f"Linux's own; up to {MAX_XDP_HEADROOM} bytes",
    ),
    ProtocolFeature("rate limit", "rate", True, False, "of tx; read again while connected"),
    ProtocolFeature("link state", "carrier, disconnect", True, True, ""),
    ProtocolFeature("link speed", "speed", True, True, "told, not enforced"),
    ProtocolFeature("MTU", "mtu", True, True, f"to {MAX_MTU}; beyond {DEFAULT_MTU} needs sg"),
    ProtocolFeature("untrusted backend", "trusted", True, True, "bounce pages, whatever it says"),
    ProtocolFeature("guest's addresses", "attr/vif/N/ipv4/M, attr/vif/N/ipv6/M", False, True, ""),
    ProtocolFeature(
        "guest ABI", "protocol", True, True, f"{', '.join(PROTOCOLS)}; our own, else by its pages"
    ),
)


@dataclass(frozen=True, slots=True)
class Offloads:
    """What an end takes from the other, as netif's keys say; the defaults are those of no keys."""

    sg: bool = False  # packets of several slots
    gso_tcpv4: bool = False
    gso_tcpv6: bool = False
    csum_ipv4: bool = True  # TCP and UDP checksums may be blank
    csum_ipv6: bool = False

    def __and__(self, other: "Offloads") -> "Offloads":
        """What both have. GSO needs packets of several slots and blank checksums."""
        both = Offloads(
            **{
                field.name: getattr(self, field.name) and getattr(other, field.name)
                for field in fields(self)
            }
        )
        return Offloads(
            sg=both.sg,
            gso_tcpv4=both.gso_tcpv4 and both.sg and both.csum_ipv4,
            gso_tcpv6=both.gso_tcpv6 and both.sg and both.csum_ipv6,
            csum_ipv4=both.csum_ipv4,
            csum_ipv6=both.csum_ipv6,
        )

    def __str__(self) -> str:
        names = [each.name for each in fields(self) if getattr(self, each.name)]
        return " ".join(name.replace("_", "-") for name in names) or "no offloads"


WITHOUT_KEYS = Offloads()
ALL_OFFLOADS = Offloads(True, True, True, True, True)


@dataclass(frozen=True, slots=True)
class BackendFeatures:
    """What a backend offers; the defaults are those of a backend that writes none of the keys."""

    rx_copy: bool = False
    offloads: Offloads = WITHOUT_KEYS
    split_event_channels: bool = False
    max_queues: int = 1
    multicast_control: bool = False
    dynamic_multicast_control: bool = False  # the request counts while connected, too
    control_ring: bool = False
    xdp_headroom: bool = False


@dataclass(frozen=True, slots=True)
class FrontendFeatures:
    """What a frontend wants, and can use, at most."""

    offloads: Offloads = ALL_OFFLOADS
    split_event_channels: bool = True
    max_queues: int = 1
    rx_notify: bool = True
    multicast_control: bool = False  # it asks for the filter from the beginning
    control_ring: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.max_queues <= MAX_QUEUES:
            raise ValueError(f"max_queues is 1 to {MAX_QUEUES}")


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both ends will use on this connection, the offloads in both directions."""

    offloads: Offloads
    queues: int
    split_event_channels: bool
    rx_notify: bool
    multicast_control: bool  # there is a filter to ask for
    dynamic_multicast_control: bool
    control_ring: bool
    xdp_headroom: bool

    def describe(self) -> str:
        """One line, for logs and tools."""
        words = [f"{self.queues} queue{'s' if self.queues > 1 else ''}"]
        if self.split_event_channels:
            words.append("of two event channels")
        words.append(str(self.offloads))
        if self.control_ring:
            words.append("control-ring")
        return " ".join(words)


def negotiate(front: FrontendFeatures, back: BackendFeatures) -> Agreement:
    """What this pair uses."""
    return Agreement(
        offloads=front.offloads & back.offloads,
        queues=min(front.max_queues, back.max_queues),
        split_event_channels=front.split_event_channels and back.split_event_channels,
        rx_notify=front.rx_notify,
        multicast_control=back.multicast_control,
        dynamic_multicast_control=back.multicast_control and back.dynamic_multicast_control,
        control_ring=front.control_ring and back.control_ring,
        xdp_headroom=back.xdp_headroom,
    )
