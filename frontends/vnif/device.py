"""The network frontend: its packets, and what it reads and publishes on xenbus."""

import asyncio
import errno
import ipaddress
import logging
from collections.abc import Callable, Iterable, Iterator

from pvdrivers.frontends.device import DRAIN_TIMEOUT, Frontend
from pvdrivers.frontends.vnif.control import ControlQueue, HashSettings
from pvdrivers.frontends.vnif.inbox import Inbox
from pvdrivers.frontends.vnif.outgoing import GroupChange, PacketCache, Sending
from pvdrivers.frontends.vnif.queue import VnifQueue
from pvdrivers.hypervisor import EventChannels, Hypervisor
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.vnif.features import (
    ALL_OFFLOADS,
    DEFAULT_MTU,
    MAX_XDP_HEADROOM,
    Agreement,
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
from pvdrivers.vnif.packet import Packet, packet_pool
from pvdrivers.xenbus.keys import NUM_QUEUES_KEY
from pvdrivers.xenbus.states import Event, XenbusState
from pvdrivers.xenstore.client import XenstoreClient

log = logging.getLogger("pvdrivers.frontends.vnif")


class VnifFrontend(Frontend[VnifQueue | ControlQueue]):
    """One network device of this guest.

    A packet is carried once or never: what is on a ring when the backend is lost is lost, as on a
    wire. What waits for a ring is sent on the next connection.
    """

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
        self.rx_buffers = 0  # pages that each queue posts; 0: as many as its ring has slots
        self.info: DeviceInfo | None = None
        self.agreement: Agreement | None = None
        self.speed = 0  # of the link, Mbit/s; 0: unknown
        self.carrier = False  # the link is up
        self.groups: set[bytes] = set()  # the multicast addresses that it has joined
        self.on_connected: Callable[[], None] | None = None
        """Called on each connection, when packets can be sent: a network stack tells the switches
        where it is now (gratuitous ARP)."""
        self.on_carrier: Callable[[bool], None] | None = None
        self.inbox = Inbox()  # its `on_packets` takes what comes, in place of `receive`
        self._cache = PacketCache()
        self._waiting: list[Sending | GroupChange] = []  # for a connection
        self._flushed: list[asyncio.Future[None]] = []
        self._reconfigured: asyncio.Future[None] | None = None
        self._filtering = self.features.multicast_control
        self._xdp_headroom = 0
        self._hash: HashSettings | None = None
        self._hash_task: asyncio.Task[None] | None = None

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

    @property
    def packet_queues(self) -> list[VnifQueue]:
        """Those of the present connection, without its control ring."""
        return [queue for queue in self._queues if isinstance(queue, VnifQueue)]

    async def send(self, packets: Iterable[Packet | bytes]) -> None:
        """Returns when all are on a ring. Those of a flow stay in order.

        UsageError: one of them is too long, or needs an offload that is not agreed.
        """
        self.check_open()
        listed = [each if isinstance(each, Packet) else Packet(each) for each in packets]
        if not listed:
            return
        sending = Sending(listed, self._cache)
        self._waiting.append(sending)
        if self.accepts:
            self.issue_waiting()
        await sending.done

    async def receive(self, maximum: int = 256) -> list[Packet]:
        """Packets that have come, at least one."""
        while not self.inbox:
            self.check_open()
            await self.inbox.changed()
        return self.inbox.take(maximum)

    async def flush(self) -> None:
        """Returns when the backend has taken all that was sent."""
        if not self.accepts or not self._count_outstanding():
            return
        flushed = asyncio.get_running_loop().create_future()
        self._flushed.append(flushed)
        self._ask_for_answers(True)
        await flushed

    async def close(self) -> None:
        """Waits for what is sent, then closes the device in order."""
        try:
            async with asyncio.timeout(self.drain_timeout):
                await self.flush()
        except TimeoutError:
            log.warning("%s: the backend has not taken all that was sent", self.path)
        await super().close()

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
        agreement = self._agreed
        if not agreement.control_ring:
            raise UsageError(f"{self.path}: the backend has no control ring")
        if settings and any(not 0 <= q < agreement.queues for q in settings.mapping):
            raise UsageError(f"the mapping has queues beyond the {agreement.queues} there are")
        await self._control.set_hash(settings)
        self._hash = settings

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

    def open_queues(self, channels: EventChannels) -> Iterator[VnifQueue | ControlQueue]:
        agreement = self._agreed
        config = {
            "hypervisor": self.hypervisor.cdata,
            "evtchn": channels.cdata,
            "backend": self.peer_domid,
            "split_event_channels": agreement.split_event_channels,
            "pool": packet_pool(),
            "rx_buffers": self.rx_buffers,
        }
        for index in range(agreement.queues):
            yield VnifQueue(config, index, self.inbox.put)
        if agreement.control_ring:
            yield ControlQueue(self.hypervisor, channels, self.peer_domid)

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
            self._waiting.append(GroupChange(group, add=True))
        self.issue_waiting()
        if self._hash and self._agreed.control_ring:
            name = f"hash {self.path}"
            self._hash_task = asyncio.create_task(self._restore_hash(self._hash), name=name)
        if self.on_connected:
            self.on_connected()

    async def reread(self) -> None:
        await super().reread()
        await self._read_link()

    async def reconfigure(self) -> None:
        if self._reconfigured and not self._reconfigured.done():
            self._reconfigured.set_result(None)

    async def drain(self) -> None:
        self._ask_for_answers(True)
        await super().drain()

    async def disconnect(self) -> None:
        if self._hash_task:
            self._hash_task.cancel()
            self._hash_task = None
        await super().disconnect()
        self._set_carrier(False)
        self._end_flushes()
        if self._reconfigured and not self._reconfigured.done():
            self._reconfigured.set_result(None)  # the next connection begins with the headroom

    def fail_requests(self) -> None:
        super().fail_requests()
        error = OSError(errno.EIO, "the device is gone")
        waiting, self._waiting = self._waiting, []
        for outgoing in waiting:
            outgoing.fail(error)
        self._end_flushes()
        self.inbox.wake()

    def issue_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        queues = self.packet_queues
        for each in waiting:
            shares = each.split(len(queues)) if isinstance(each, Sending) else {0: each}
            for index, share in shares.items():
                if not queues[index].issue(share):
                    self.wake(queues[index])  # to be armed for room

    def successor(
        self, index: int, stopped: VnifQueue | ControlQueue
    ) -> VnifQueue | ControlQueue | None:
        if isinstance(stopped, VnifQueue):
            return self.packet_queues[index % len(self.packet_queues)]
        return self._control if self._agreed.control_ring else None

    # ---- the inside ------------------------------------------------------------------------

    @property
    def _agreed(self) -> Agreement:
        if self.agreement is None:
            raise UsageError(f"{self.path} is not connected")
        return self.agreement

    @property
    def _control(self) -> ControlQueue:
        for queue in self._queues:
            if isinstance(queue, ControlQueue):
                return queue
        raise UsageError(f"{self.path} is not connected")

    async def _change_group(self, address: bytes, add: bool) -> None:
        if not self.accepts:
            return  # the next connection begins with the groups
        change = GroupChange(address, add)
        self._waiting.append(change)
        self.issue_waiting()
        await change.done

    async def _restore_hash(self, settings: HashSettings) -> None:
        try:
            await self._control.set_hash(settings)
        except (OSError, UsageError) as error:
            log.warning("%s: the hash is not what it was: %s", self.path, error)

    async def _read_link(self) -> None:
        up, self.speed = read_link(await self.read_peer_keys(LINK_KEYS))
        own = await self.client.read_keys(self.path, TOOLSTACK_KEYS)
        self._set_carrier(up and not DeviceInfo.read(own).disconnected)

    def _set_carrier(self, up: bool) -> None:
        before, self.carrier = self.carrier, up
        if before != up and self.on_carrier:
            self.on_carrier(up)

    def _count_outstanding(self) -> int:
        return sum(queue.outstanding for queue in self._queues)

    def _ask_for_answers(self, flushing: bool) -> None:
        for queue in self.packet_queues:
            queue.flushing = flushing
            self.wake(queue)

    def _check_drained(self) -> None:
        super()._check_drained()
        if self._flushed and not self._count_outstanding():
            self._ask_for_answers(False)
            self._end_flushes()

    def _end_flushes(self) -> None:
        flushed, self._flushed = self._flushed, []
        for each in flushed:
            if not each.done():
                each.set_result(None)
