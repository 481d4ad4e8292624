"""The network frontend: its packets, and what it reads and publishes on xenbus."""

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from types import MappingProxyType

from pvdrivers.frontends.device import DRAIN_TIMEOUT
from pvdrivers.frontends.vnif.control import ControlQueue, HashSettings
from pvdrivers.frontends.vnif.outgoing import GroupChange
from pvdrivers.frontends.vnif.packets import PacketFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.vnif.features import (
    ALL_OFFLOADS,
    DEFAULT_MTU,
    MAX_XDP_HEADROOM,
    FrontendFeatures,
    negotiate,
)
from pvdrivers.vnif.keys import (
    BACKEND_KEYS,
    CONTROL_KEYS,
    LINK_KEYS,
    MULTICAST_KEY,
    QUEUE_KEYS,
    TOOLSTACK_KEYS,
    XDP_KEY,
    DeviceInfo,
    FrontendHead,
    frontend_keys,
    read_backend,
    read_link,
)
from pvdrivers.vnif.mac import format_mac, parse_group
from pvdrivers.xenbus.keys import NUM_QUEUES_KEY
from pvdrivers.xenbus.states import EAGER_FRONTEND, Event, XenbusState
from pvdrivers.xenstore.client import XenstoreClient

log = logging.getLogger("pvdrivers.frontends.vnif")


class VnifFrontend(PacketFrontend):
    """One network device of this guest."""

    # As Linux's netfront does: its netback does nothing before.
    table = EAGER_FRONTEND
    published_states = MappingProxyType({XenbusState.INITIALISED: XenbusState.CONNECTED})
    own_watches: tuple[str, ...] = ("state", "disconnect")
    peer_watches: tuple[str, ...] = ("state", *LINK_KEYS)

    def __init__(
        self,
        client: XenstoreClient,
        path: str,
        hypervisor: Hypervisor,
        features: FrontendFeatures | None = None,
        drain_timeout: float = DRAIN_TIMEOUT,
    ) -> None:
        super().__init__(client, path, hypervisor, drain_timeout)
        self.features = features or FrontendFeatures()
        self.info: DeviceInfo | None = None
        self.speed = 0  # of the link, Mbit/s; 0: unknown
        self.carrier = False  # the link is up
        self.groups: set[bytes] = set()  # the multicast addresses that it has joined
        self.on_connected: Callable[[], None] | None = None
        """Called on each connection, when packets can be sent: a network stack tells the switches
        where it is now (gratuitous ARP)."""
        self.on_carrier: Callable[[bool], None] | None = None
        self._reconfigured: asyncio.Future[None] | None = None
        self._filtering = self.features.multicast_control
        self._xdp_headroom = 0
        self._hash: HashSettings | None = None
        self._static_grants = False
        self._restoring: asyncio.Task[None] | None = None

    # ---- what its user calls ---------------------------------------------------------------

    async def connected(self) -> DeviceInfo:
        """The device, once it can be used. PeerError when that will not be."""
        await self.wait_for(XenbusState.CONNECTED)
        if self.info is None:
            raise PeerError("the toolstack told nothing of the device")
        return self.info

    @property
    def mac(self) -> str:
        return format_mac(self.info.mac) if self.info else ""

    @property
    def mtu(self) -> int:
        """Bytes of an Ethernet frame's payload: the toolstack's, if the backend takes as much."""
        mtu = self.info.mtu if self.info else DEFAULT_MTU
        return mtu if self.agreement and self.agreement.offloads.sg else min(mtu, DEFAULT_MTU)

    async def filter_multicast(self, enabled: bool) -> None:
        """Asks the backend to pass on no multicast but of the groups joined. UsageError: it has no
        such filter, or none that can be changed now."""
        agreement = self._agreed
        if not agreement.dynamic_multicast_control:
            raise UsageError(f"{self.path}: the backend's multicast filter cannot be changed now")
        self._filtering = enabled
        await self.write_keys({MULTICAST_KEY: str(int(enabled))})

    async def join(self, group: str) -> None:
        """Adds a multicast address to the backend's filter, on each connection. `flush` returns
        when the filter has it."""
        address = parse_group(group)
        self.groups.add(address)
        await self._change_group(address, add=True)

    async def leave(self, group: str) -> None:
        address = parse_group(group)
        self.groups.discard(address)
        await self._change_group(address, add=False)

    async def set_hash(self, settings: HashSettings | None) -> None:
        """How the backend chooses a queue, on this connection and later ones. OSError: it refuses.
        UsageError: there is no control ring, or the mapping has queues that are not there."""
        control, queues = self._agreed_control, self._agreed.queues
        if settings and any(not 0 <= q < queues for q in settings.mapping):
            raise UsageError(f"the mapping has queues beyond the {queues} there are")
        before, self._hash = self._hash, settings
        try:
            await control.set_hash(settings)
        except ConnectionResetError:
            return  # the next connection begins with it
        except (OSError, UsageError):
            self._hash = before
            raise

    async def use_static_grants(self) -> int:
        """Has the backend keep the queues' pages mapped, as many as it takes, on this connection
        and later ones; how many it has mapped. OSError: it refuses. UsageError: there is no
        control ring."""
        count = await self._add_static_grants()
        self._static_grants = True
        return count

    async def set_xdp_headroom(self, headroom: int) -> None:
        """Asks for so many bytes in front of each packet received (Linux' own protocol)."""
        if not self._agreed.xdp_headroom:
            raise UsageError(f"{self.path}: the backend leaves no XDP headroom")
        if not 0 <= headroom <= MAX_XDP_HEADROOM:
            raise UsageError(f"XDP headroom {headroom} is not 0 to {MAX_XDP_HEADROOM}")
        if self._reconfigured:
            raise UsageError(f"{self.path}: a change of XDP headroom is under way")
        self._xdp_headroom = headroom
        await self.write_keys({XDP_KEY: str(headroom)})
        self._reconfigured = asyncio.get_running_loop().create_future()
        self.request(Event.RECONFIGURE)
        try:
            await self._reconfigured
        finally:
            self._reconfigured = None
        await self.wait_for(XenbusState.CONNECTED)

    async def publish_addresses(self, *addresses: str) -> None:
        """Tells the toolstack the guest's IP addresses, as Windows' drivers do. ValueError: one of
        them is none."""
        home, _, device = self.path.partition("/device/vif/")
        base = f"{home}/attr/vif/{device}"
        found = [ipaddress.ip_address(address) for address in addresses]

        async with self.client.transaction() as transaction:
            if await transaction.exists(base):
                await transaction.remove(base)
            for version in (4, 6):
                of_version = [str(address) for address in found if address.version == version]
                for index, address in enumerate(of_version):
                    await transaction.write(f"{base}/ipv{version}/{index}", address)

    def describe(self) -> str:
        line = f"{self.mac} {super().describe()}".lstrip()
        if self.agreement and self.fsm.connected:
            line += f", {self.agreement.describe()}"
        line += f", mtu {self.mtu}, link {'up' if self.carrier else 'down'}"
        dropped = self.inbox.dropped
        return line + (f", {dropped} packets not received" if dropped else "")

    # ---- hooks -----------------------------------------------------------------------------

    async def read_limits(self) -> None:
        self.info = DeviceInfo.read(await self.client.read_keys(self.path, TOOLSTACK_KEYS))
        back = read_backend(await self.read_peer_keys(BACKEND_KEYS))
        if not back.rx_copy:
            raise PeerError("the backend does not copy (feature-rx-copy), and flips pages instead")
        self.agreement = negotiate(self.features, back)

    async def publish(self) -> None:
        agreement = self._agreed
        rings = self.packet_queues
        head = FrontendHead(
            protocol=self.hypervisor.abi.protocol,
            queues=len(rings),
            offloads=self.features.offloads & ALL_OFFLOADS,
            rx_notify=agreement.rx_notify,
            multicast_control=self._filtering,
            xdp_headroom=self._xdp_headroom if agreement.xdp_headroom else 0,
            control=self._control.ring if agreement.control_ring else None,
        )
        await self.publish_keys(frontend_keys(head, [queue.rings for queue in rings]))

    async def publish_keys(self, keys: dict[str, str]) -> None:
        """What a backend reads before it maps, in place of what an earlier connection has left."""
        queues = [f"queue-{index}" for index in range(self.features.max_queues)]
        earlier = (NUM_QUEUES_KEY, *QUEUE_KEYS, *CONTROL_KEYS, *queues)
        await self.write_keys(keys, without=earlier)

    async def negotiate(self) -> None:
        await self._read_link()
        for queue in self.packet_queues:
            queue.connect(self._agreed)

    async def attach(self) -> None:
        await super().attach()
        for group in self.groups:
            self._issue(self.packet_queues[0], GroupChange(group, add=True))
        if (self._hash or self._static_grants) and self._agreed.control_ring:
            name = f"control ring {self.path}"
            self._restoring = asyncio.create_task(self._restore_settings(), name=name)
        if self._reconfigured and not self._reconfigured.done():
            self.request(Event.RECONFIGURE)  # asked for while there was no connection
        if self.on_connected:
            self.on_connected()

    async def reread(self) -> None:
        await super().reread()
        await self._read_link()

    async def reconfigure(self) -> None:
        if self._reconfigured and not self._reconfigured.done():
            self._reconfigured.set_result(None)

    async def disconnect(self) -> None:
        if self._restoring:
            self._restoring.cancel()
            self._restoring = None
        await super().disconnect()
        self._set_carrier(False)
        if self._reconfigured and not self._reconfigured.done():
            self._reconfigured.set_result(None)  # the next connection begins with the headroom

    # ---- the inside ------------------------------------------------------------------------

    async def _change_group(self, address: bytes, add: bool) -> None:
        if not self.accepts:
            return  # the next connection begins with the groups
        change = GroupChange(address, add)
        self._issue(self.packet_queues[0], change)
        await change.done

    @property
    def _agreed_control(self) -> ControlQueue:
        if not self._agreed.control_ring:
            raise UsageError(f"{self.path}: the backend has no control ring")
        return self._control

    async def _add_static_grants(self) -> int:
        control = self._agreed_control
        return sum([await control.add_static_grants(queue) for queue in self.packet_queues])

    async def _restore_settings(self) -> None:
        """Of the control ring, as they were on the connection before."""
        try:
            if self._hash:
                await self._control.set_hash(self._hash.for_queues(self._agreed.queues))
            if self._static_grants:
                await self._add_static_grants()
        except (OSError, UsageError) as error:
            log.warning("%s: the backend does not do as the last one: %s", self.path, error)

    async def _read_link(self) -> None:
        up, self.speed = read_link(await self.read_peer_keys(LINK_KEYS))
        own = await self.client.read_keys(self.path, TOOLSTACK_KEYS)
        self._set_carrier(up and not DeviceInfo.read(own).disconnected)

    def _set_carrier(self, up: bool) -> None:
        before, self.carrier = self.carrier, up
        if before != up and self.on_carrier:
            self.on_carrier(up)
