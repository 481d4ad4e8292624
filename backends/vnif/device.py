"""The network backend on xenbus: what it offers, reads and publishes. Its data plane is in C."""

import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from pvdrivers.backends.device import Backend, DeviceContext, QueueContext
from pvdrivers.backends.inflight import LogMemory
from pvdrivers.backends.uplinks.uplink import Uplink, UplinkOffloads
from pvdrivers.backends.vnif.netback import Netback
from pvdrivers.backends.vnif.queue import ControlQueue, VnifQueue
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.vnif.features import MAX_QUEUES, BackendFeatures, Offloads
from pvdrivers.vnif.keys import (
    BACKEND_KEYS,
    FRONTEND_HEAD_KEYS,
    MULTICAST_KEY,
    XDP_KEY,
    ControlRing,
    FrontendHead,
    QueueRings,
    backend_keys,
    flag,
    queue_key_names,
    read_backend,
    read_frontend_head,
    read_queues,
    read_xdp_headroom,
)
from pvdrivers.vnif.mac import format_mac, parse_mac
from pvdrivers.vnif.rate import Rate

log = logging.getLogger("pvdrivers.backends.vnif")


class VnifBackendOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The most that a backend offers and does."""

    sg: bool = True
    gso_tcpv4: bool = True
    gso_tcpv6: bool = True
    csum_ipv4: bool = True
    csum_ipv6: bool = True
    max_queues: int = 4  # and as many as the uplink has
    split_event_channels: bool = True
    multicast_control: bool = True
    dynamic_multicast_control: bool = True
    control_ring: bool = True
    xdp_headroom: bool = True
    rx_drain_ms: int = 10_000  # that packets wait for a guest that posts no buffers; 0: for ever
    rx_stall_ms: int = 60_000  # until such a guest counts as stalled; 0: never
    speed: int = 0  # of the link, Mbit/s, for the guest to show; 0: it is not told
    wait_for_hotplug: bool = False  # connect only when a script says `connected`

    def __post_init__(self) -> None:
        if not 1 <= self.max_queues <= MAX_QUEUES:
            raise ValueError(f"max_queues is 1 to {MAX_QUEUES}")
        for name in ("rx_drain_ms", "rx_stall_ms", "speed"):
            if not 0 <= getattr(self, name) < 1 << 31:
                raise ValueError(f"{name} is 0 to {(1 << 31) - 1}")

    @property
    def offloads(self) -> Offloads:
        return Offloads(self.sg, self.gso_tcpv4, self.gso_tcpv6, self.csum_ipv4, self.csum_ipv6)


class VnifBackend(Backend[QueueRings | ControlRing, VnifQueue | ControlQueue]):
    """Serves one network device of one guest on an uplink of its own, which must outlive it."""

    eager_frontends = True
    own_watches: tuple[str, ...] = ("state", "online", "hotplug-status", "rate")
    peer_watches: tuple[str, ...] = ("state", MULTICAST_KEY)

    def __init__(
        self,
        context: DeviceContext,
        uplink: Uplink,
        options: VnifBackendOptions | None = None,
    ) -> None:
        super().__init__(context)
        self.uplink = uplink
        self.options = options or VnifBackendOptions()
        self.features = BackendFeatures()
        self.head: FrontendHead | None = None  # of the present connection
        self.mac = b""
        self.rate = Rate()
        self._rate_key: str | None = None
        self._carrier = True
        self._netback: Netback | None = None

    # ---- what its user calls ---------------------------------------------------------------

    async def set_carrier(self, up: bool) -> None:
        """Tells the guest whether the link is up."""
        self._carrier = up
        await self.write_keys({"carrier": str(int(up))})

    @property
    def packet_queues(self) -> list[VnifQueue]:
        """Those of the present connection, without its control ring."""
        return [queue for queue in self._queues if isinstance(queue, VnifQueue)]

    @property
    def stalled(self) -> bool:
        """Whether the guest has posted no rx buffers for too long."""
        return bool(self._netback and self._netback.stalled)

    def status(self) -> dict[str, Any]:
        return super().status() | {
            "uplink": repr(self.uplink),
            "mac": format_mac(self.mac),
            "rate": str(self.rate),
            "carrier": self._carrier,
            "stalled": self.stalled,
        }

    def describe(self) -> str:
        line = super().describe()
        if self.head and self._queues:
            queues = self.head.queues
            line += f", {queues} queue{'s' if queues > 1 else ''}"
            line += f", rx {self._offloads}, rate {self.rate}"
            line += ", control ring" if self.head.control else ""
        line += "" if self._carrier else ", link down"
        return line + (", stalled" if self.stalled else "")

    # ---- hooks -----------------------------------------------------------------------------

    async def offer(self) -> None:
        options = self.options
        self.features = BackendFeatures(
            rx_copy=True,
            offloads=options.offloads,
            split_event_channels=options.split_event_channels,
            max_queues=min(options.max_queues, self.uplink.queues),
            multicast_control=options.multicast_control,
            dynamic_multicast_control=options.dynamic_multicast_control,
            control_ring=options.control_ring,
            xdp_headroom=options.xdp_headroom,
        )
        await self.write_keys(backend_keys(self.features))

    async def ready(self) -> bool:
        if not self.options.wait_for_hotplug:
            return True
        return await self.client.read_optional(f"{self.path}/hotplug-status") == "connected"

    async def read_own_offer(self) -> None:
        keys = await self.client.read_keys(self.path, (*BACKEND_KEYS, "carrier"))
        self.features = read_backend(keys)
        self._carrier = flag(keys, "carrier", default=True)

    async def read_rings(self) -> Sequence[QueueRings | ControlRing]:
        own = await self.client.read_keys(self.path, ("mac", "rate"))
        try:
            self.mac = parse_mac(own.get("mac", ""))
        except ValueError as error:
            raise UsageError(f"{self.path}/mac: {error}") from error
        self._take_rate(own.get("rate"))
        head = read_frontend_head(await self.read_peer_keys(FRONTEND_HEAD_KEYS), self.features)
        keys = await self.read_peer_keys(queue_key_names(head.queues))
        rings = read_queues(keys, head.queues)
        self._open_netback(head)
        return [*rings, *([head.control] if head.control else [])]

    async def publish(self) -> None:
        keys = {"carrier": str(int(self._carrier))}
        if self.options.speed:
            keys["speed"] = str(self.options.speed)
        await self.write_keys(keys)

    async def reread(self) -> None:
        """What the toolstack and the guest may change while connected."""
        if not self._netback:
            return
        self._take_rate(await self.client.read_optional(f"{self.path}/rate"))
        if self.features.dynamic_multicast_control:
            keys = await self.read_peer_keys([MULTICAST_KEY])
            self._netback.set_multicast_control(self._filters(flag(keys, MULTICAST_KEY)))

    async def reconfigure(self) -> None:
        if self._netback and self.features.xdp_headroom:
            headroom = read_xdp_headroom(await self.read_peer_keys([XDP_KEY]))
            self._netback.set_xdp_headroom(headroom)

    async def replace_uplink(self, uplink: Uplink) -> Uplink:
        """Goes on with another uplink and returns the old one, which no queue uses any more. The
        frontend does not notice. For hooks only."""
        old = self.uplink
        async with self.queues_closed():
            self.uplink = uplink
            if self._netback:
                self._netback.set_uplink(uplink)
                self._tell_uplink()
        return old

    async def disconnect(self) -> None:
        await super().disconnect()
        self._close_netback()

    def serve(self) -> None:
        assert self.head
        self.uplink.set_carrier(self.head.queues)
        super().serve()

    # ---- queues ----------------------------------------------------------------------------

    def inflight_size(self, ring: QueueRings | ControlRing) -> int:
        netback = self._opened
        if isinstance(ring, ControlRing):
            return ControlQueue.log_size(netback)
        return VnifQueue.log_size(netback, ring)

    def open_queue(
        self, ring: QueueRings | ControlRing, context: QueueContext
    ) -> VnifQueue | ControlQueue:
        fields = {"evtchn": context.channels.cdata, "fault_fd": context.fault_fd}
        if isinstance(ring, ControlRing):
            return ControlQueue(self._opened, ring, context.inflight, fields)
        return VnifQueue(self._opened, ring, context.inflight, fields)

    def is_resumable(self, ring: QueueRings | ControlRing, inflight: LogMemory) -> bool:
        if isinstance(ring, ControlRing):
            return ControlQueue.is_resumable(self._opened, ring, inflight)
        return VnifQueue.is_resumable(self._opened, ring, inflight)

    # ---- what the queues share -------------------------------------------------------------

    @property
    def _opened(self) -> Netback:
        assert self._netback
        return self._netback

    @property
    def _offloads(self) -> Offloads:
        """What the guest is given: what it takes, and these options allow."""
        assert self.head
        return self.head.offloads & self.options.offloads

    def _filters(self, requested: bool) -> bool:
        """Whether multicast is filtered."""
        return requested and self.features.multicast_control

    def _open_netback(self, head: FrontendHead) -> None:
        self._close_netback()
        self.head = head
        self._tell_uplink()
        fields = {
            "mac": self.mac,
            "queues": head.queues,
            "rx_notify": head.rx_notify,
            "multicast_control": self._filters(head.multicast_control),
            "resumed": self._inherits,
            "xdp_headroom": head.xdp_headroom if self.features.xdp_headroom else 0,
            "rate_bytes": self.rate.bytes,
            "rate_usec": self.rate.usec,
            "rx_drain_ns": self.options.rx_drain_ms * 1_000_000,
            "rx_stall_ns": self.options.rx_stall_ms * 1_000_000,
        }
        abi = self._abi(head)
        self._netback = Netback(
            self.hypervisor, self.peer_domid, abi, self.uplink, self._offloads, fields
        )

    def _tell_uplink(self) -> None:
        """What the guest takes."""
        self.uplink.set_rx_offloads(UplinkOffloads.of(self._offloads))

    def _close_netback(self) -> None:
        if self._netback:
            self._netback.uplink.set_carrier(0)
            self._netback.close()
            self._netback = None
        self.head = None

    def _abi(self, head: FrontendHead) -> Abi:
        return Abi.from_protocol(head.protocol) if head.protocol else self.abi_of_pages()

    def _take_rate(self, key: str | None) -> None:
        """Takes over the key `rate`, when it has changed."""
        if key == self._rate_key:
            return
        self._rate_key = key
        rate = Rate.read(key)
        if rate is None:
            log.warning("%s: rate %r is not BYTES,USEC: no limit", self.path, (key or "")[:40])
        self.rate = rate or Rate()
        if self._netback:
            self._netback.set_rate(self.rate)
            log.info("%s: rate %s", self.path, self.rate)
