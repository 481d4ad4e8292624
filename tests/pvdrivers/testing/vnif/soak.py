"""A soak of the network device in virtual time: two guests on a switch, for hours.

    make soak SOAKFLAGS='--hours 24 --seed 7'

Each round the guests send each other packets of all kinds while something is done to them: new
connections, devices unplugged and plugged in with other features and other filters on their
uplinks, the service drained and started again, drivers that crash, other rates, multicast filters,
XDP headrooms, hashes and mappings, events that nobody needs. Everything is drawn from a seed. At
the end of a round the model (soak_model.py) says what must have come and what must not.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from pvdrivers._core import lib
from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.service import DeviceClass, Service
from pvdrivers.backends.uplinks.filters import (
    PacketDelay,
    PacketDuplication,
    PacketLoss,
    PacketReordering,
)
from pvdrivers.backends.uplinks.switch import Switch
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.backends.vnif.device import VnifBackendOptions
from pvdrivers.backends.vnif.vif import VifConfig, read_vif
from pvdrivers.frontends.vnif.control import HashSettings
from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.sim import Machine
from pvdrivers.sim.loop import DeterministicLoop
from pvdrivers.testing.device_under_test import DeviceUnderTest
from pvdrivers.testing.guest import Guest
from pvdrivers.testing.vnif.loopback import OwningBackend
from pvdrivers.toolstack.xenstore_rings import GuestRings
from pvdrivers.vnif.config import vif_config
from pvdrivers.vnif.features import FrontendFeatures, Offloads
from pvdrivers.vnif.mac import format_mac, parse_mac
from pvdrivers.vnif.packet import Packet, packet_pool
from pvdrivers.vnif.rate import Rate
from pvdrivers.xenbus.device import BackendDevice
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.store import XenStore

from .soak_model import Sent, Traffic, build

MS = 1_000_000  # ns
SETTLE = 2.0  # seconds, more than all filters hold a packet back
PAUSE = 60.0  # seconds between rounds, on average
PATIENCE = 120.0  # seconds that a round may take
GROUPS = [bytes.fromhex(f"01005e0000{number:02x}") for number in range(1, 4)]
QUEUES = 4
RATES = ["", "100Mb/s", "20Mb/s@10ms", "8Mb/s"]


@dataclass
class Filters:
    """What of an uplink's filters the model has to know."""

    loses: bool = False
    reorders: bool = False
    duplicates: bool = False


@dataclass
class Station:
    """A guest, and what is known of its device."""

    guest: Guest
    mac: bytes
    frontend: VnifFrontend = field(init=False)
    filters: Filters = field(default_factory=Filters)
    options: VnifBackendOptions = field(default_factory=VnifBackendOptions)
    features: FrontendFeatures = field(default_factory=FrontendFeatures)
    disturbed: bool = False  # packets of this round may be lost on its way
    filter_changed: bool = False  # in this round, or it may be incomplete
    hash_changed: bool = False
    taken_up: bool = False  # its backend may not know its groups, and pass on all multicast

    @property
    def name(self) -> str:
        return f"d{self.guest.domain.domid}"

    @property
    def takes(self) -> Offloads:
        return self.features.offloads & self.options.offloads

    def wants(self, group: bytes) -> bool:
        """Whether its multicast filter passes a group, when nothing has changed it."""
        filtering = self.frontend._filtering and self.options.multicast_control
        return not filtering or group in self.frontend.groups


class Soak:
    """Use it within a DeterministicLoop whose clock is the machine."""

    def __init__(self, machine: Machine, seed: int) -> None:
        self.machine = machine
        self.draw = random.Random(seed)
        self.digest = hashlib.sha256()
        self.rounds = self.packets = self.arrivals = 0
        self.stations: list[Station] = []
        self.traffic = Traffic()
        self._number = 0
        self._problems: list[str] = []

    # ---- the machine ---------------------------------------------------------------------

    async def __aenter__(self) -> Soak:
        async with AsyncExitStack() as stack:
            self._used = lib.pv_packet_pool_used(packet_pool())
            self.dom0 = self.machine.create_domain(privileged=True)
            self.store = XenStore()
            stack.callback(GuestRings(self.store, self.machine, 0).close)
            self.switch = stack.enter_context(Switch())
            self.client = XenstoreClient.in_process(self.store, 0)
            stack.callback(self.client.close)
            self.service = await self._start_service()
            stack.push_async_callback(self._end_service)
            for number in range(2):
                await self._add_station(number)
                stack.push_async_callback(self.stations[number].guest.stop)
                stack.push_async_callback(self.stations[number].guest.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _add_station(self, number: int) -> None:
        domain = self.machine.create_domain(memory="96M")
        device = DeviceUnderTest(lambda domid: vif_config(0, domid), self._make_frontend)
        guest = Guest(domain, device, self.client)
        station = Station(guest, parse_mac(guest.config.backend_keys["mac"]))
        self.stations.append(station)
        await guest.boot()
        await self._connected(station)

    async def _start_service(self) -> Service[VifConfig, VnifBackendOptions]:
        service = Service(
            DeviceClass("vif", read_vif, self._make_backend),
            self.client,
            self.dom0.hypervisor,
            lambda vif: VnifBackendOptions(),
        )
        return await service.__aenter__()

    async def _end_service(self) -> None:
        await self.service.__aexit__(None, None, None)

    def _at(self, path: str) -> Station:
        """That of a device, by the path of either end."""
        for station in self.stations:
            if path in (station.guest.config.backend_path, station.guest.config.frontend_path):
                return station
        raise AssertionError(path)

    def _make_frontend(
        self, client: XenstoreClient, path: str, hypervisor: Hypervisor
    ) -> VnifFrontend:
        station = self._at(path)
        flips = [self.draw.random() < 0.8 for _ in range(5)]
        station.features = FrontendFeatures(
            offloads=Offloads(*flips),
            split_event_channels=self.draw.random() < 0.5,
            max_queues=self.draw.choice([1, QUEUES]),
            rx_notify=self.draw.random() < 0.8,
            multicast_control=self.draw.random() < 0.5,
        )
        frontend = VnifFrontend(client, path, hypervisor, station.features)
        frontend.inbox.on_packets = lambda packets: self._take(station, frontend, packets)
        return frontend

    async def _make_backend(
        self, context: DeviceContext, vif: VifConfig, options: VnifBackendOptions
    ) -> BackendDevice:
        station = self._at(context.path)
        flips = [self.draw.random() < 0.8 for _ in range(5)]
        station.options = VnifBackendOptions(
            *flips,
            max_queues=self.draw.choice([1, QUEUES]),
            split_event_channels=self.draw.random() < 0.8,
        )
        return OwningBackend(context, self._make_uplink(station), station.options)

    def _make_uplink(self, station: Station) -> Uplink:
        uplink: Uplink = self.switch.port(QUEUES)
        filters = station.filters = Filters()
        seed = self.draw.randrange(1 << 32)
        if self.draw.random() < 0.3:
            uplink = PacketLoss(uplink, seed=seed, probability=0.1)
            filters.loses = True
        if self.draw.random() < 0.3:
            uplink = PacketDuplication(uplink, seed=seed, probability=0.1)
            filters.duplicates = True
        if self.draw.random() < 0.3:
            uplink = PacketReordering(uplink, seed=seed, probability=0.2, delay=50 * MS)
            filters.reorders = True
        if self.draw.random() < 0.3:
            uplink = PacketDelay(uplink, delay=20 * MS, jitter=100 * MS, seed=seed)
            filters.reorders = True
        return uplink

    async def _connected(self, station: Station) -> None:
        station.frontend = await station.guest.frontend()
        await station.frontend.connected()

    # ---- traffic -------------------------------------------------------------------------

    def _take(self, station: Station, frontend: VnifFrontend, packets: list[Packet]) -> None:
        for packet in packets:
            self.arrivals += 1
            self._note(f"{station.name} {hashlib.sha256(packet.data).hexdigest()}")
            try:
                sent = self.traffic.arrive(station.name, packet, station.takes)
                self._check_order(sent)
            except Exception as error:  # the queue must not swallow it
                self._problems.append(f"{packet}: {error!r}")

    def _check_order(self, sent: Sent) -> None:
        if any(each.filters.reorders or each.hash_changed for each in self.stations):
            return
        last = self.traffic.ordered.get(sent.flow, 0)
        assert sent.number >= last, f"{sent} came behind {last}"
        self.traffic.ordered[sent.flow] = sent.number

    async def _send(self, station: Station, other: Station) -> None:
        """Some bursts from one to the other."""
        for _ in range(self.draw.randint(0, 3)):
            try:
                await self._send_burst(station, other)
            except (PeerError, UsageError, OSError) as error:
                assert station.disturbed, error
            await asyncio.sleep(self.draw.random() * 0.05)

    async def _send_burst(self, station: Station, other: Station) -> None:
        frontend = station.frontend
        await frontend.connected()
        assert frontend.agreement
        offloads = frontend.agreement.offloads
        count = self.draw.randint(1, 20)
        await frontend.send([self._packet(station, other, offloads) for _ in range(count)])

    def _packet(self, station: Station, other: Station, agreed: Offloads) -> Packet:
        group = self.draw.choice(GROUPS) if self.draw.random() < 0.2 else None
        self._number += 1
        self.packets += 1
        addresses = group or other.mac, station.mac
        packet, payload, kind, flow = build(self.draw, self._number, agreed, addresses)
        name = f"{kind} flow {flow} from {station.name} to {addresses[0].hex()}"
        sent = Sent(self._number, other.name, payload, name)
        duplicating = [each.filters.duplicates or each.disturbed for each in self.stations]
        sent.copies = 2 ** sum(duplicating)
        sent.must_arrive = not (station.filters.loses or other.filters.loses)
        too_long = not other.takes.sg and not packet.gso_type and len(packet.data) > 4096 - 2048
        sent.must_arrive &= not too_long
        if group:
            sent.must_arrive &= other.wants(group) and not other.filter_changed
            sent.may_arrive = other.wants(group) or other.filter_changed or other.taken_up
        self.traffic.add(sent)
        return packet

    # ---- what is done to them ------------------------------------------------------------

    async def _reconnect(self, station: Station) -> None:
        station.frontend.resume()

    async def _crash(self, station: Station) -> None:
        await station.guest.stop()
        await station.guest.start()
        await self._connected(station)

    async def _plug_again(self, station: Station) -> None:
        before = station.frontend
        assert await station.guest.unplug()
        await station.guest.plug()
        station.frontend = await station.guest.next_frontend(before)

    async def _restart_service(self, station: Station) -> None:
        await self._end_service()
        await asyncio.sleep(self.draw.random())
        self.service = await self._start_service()

    async def _change_rate(self, station: Station) -> None:
        text = self.draw.choice(RATES)
        rate = Rate.parse(text).key if text else "none"
        await self.client.write(f"{station.guest.config.backend_path}/rate", rate)

    async def _change_filter(self, station: Station) -> None:
        frontend = station.frontend
        group = format_mac(self.draw.choice(GROUPS))
        await self.draw.choice([frontend.join, frontend.leave])(group)
        if self.draw.random() < 0.5:
            await frontend.filter_multicast(self.draw.random() < 0.7)

    async def _change_headroom(self, station: Station) -> None:
        await station.frontend.set_xdp_headroom(self.draw.choice([0, 64, 256, 2048]))

    async def _change_hash(self, station: Station) -> None:
        queues = len(station.frontend.packet_queues) or 1  # there are none between two connections
        mapping = tuple(self.draw.randrange(queues) for _ in range(self.draw.choice([0, 8, 128])))
        settings = HashSettings(self.draw.randbytes(40), mapping=mapping)
        await station.frontend.set_hash(self.draw.choice([settings, settings, None]))

    async def _ring_for_nothing(self, station: Station) -> None:
        """Events in both directions, and xenstore's, that say nothing new."""
        for _ in range(20):
            with suppress(UsageError):
                for queue in station.frontend.queues:
                    station.frontend.channels.notify(queue.port)
            backend = self.service.devices.get(station.guest.config.backend_path)
            if isinstance(backend, OwningBackend):
                for channels, each in zip(backend._channels, backend.queues, strict=True):
                    channels.notify(each.port)
            path = f"{station.guest.config.backend_path}/rate"
            if (rate := await self.client.read_optional(path)) is not None:
                await self.client.write(path, rate)
            await asyncio.sleep(self.draw.random() * 0.01)

    def _choose(self) -> list[Callable[[], Awaitable[None]]]:
        """What is done in a round; marks what the model cannot tell for sure."""
        chosen: list[Callable[[], Awaitable[None]]] = []
        for station in self.stations:
            station.disturbed = station.hash_changed = station.filter_changed = False
        if self.draw.random() < 0.5:  # one that ends connections
            action = self.draw.choice(
                [self._reconnect, self._crash, self._plug_again, self._restart_service]
            )
            station = self.draw.choice(self.stations)
            chosen.append(self._act(action, station))
            for each in self.stations:
                if each is station or action == self._restart_service:
                    each.disturbed = each.filter_changed = each.hash_changed = True
                    each.taken_up = action == self._restart_service
        gentle = {
            self._change_rate: "",
            self._change_filter: "filter_changed",
            self._change_headroom: "",
            self._change_hash: "hash_changed",
            self._ring_for_nothing: "",
        }
        for action, mark in gentle.items():
            if self.draw.random() < 0.3:
                station = self.draw.choice(self.stations)
                if mark:
                    setattr(station, mark, True)
                chosen.append(self._act(action, station))
        return chosen

    def _act(
        self, action: Callable[[Station], Awaitable[None]], station: Station
    ) -> Callable[[], Awaitable[None]]:
        delay = self.draw.random() * 0.1

        async def act() -> None:
            await asyncio.sleep(delay)
            self._note(f"{action.__name__} {station.name}")
            try:
                await action(station)
            except (UsageError, OSError) as error:
                lacks = "the backend" in str(error)  # control ring, filter, headroom
                assert station.disturbed or lacks, error

        return act

    # ---- rounds --------------------------------------------------------------------------

    async def round(self) -> None:
        """AssertionError: something came that may not, or did not come that must."""
        self.rounds += 1
        self.traffic = Traffic()
        actions = self._choose()
        one, other = self.stations
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(
                self._send(one, other), self._send(other, one), *(act() for act in actions)
            )
            for station in self.stations:
                await self._connected(station)
                await station.frontend.flush()
            await asyncio.sleep(SETTLE)
        if any(each.disturbed for each in self.stations):
            for sent in self.traffic.sent.values():
                sent.must_arrive = False
        self._check()
        await asyncio.sleep(self.draw.expovariate(1 / PAUSE))

    def _check(self) -> None:
        assert not self._problems, "; ".join(self._problems[:5])
        missing = self.traffic.missing()
        assert not missing, f"{len(missing)} packets did not come, the first: {missing[0]}"
        for station in self.stations:
            statistics = station.frontend.statistics()
            assert statistics["violations"] == 0
            assert statistics["tx_errors"] == 0
            assert statistics["rx_dropped"] == 0
            assert station.frontend.peer_errors == 0
            backend = self.service.devices[station.guest.config.backend_path]
            assert backend.peer_errors == 0, backend.last_error
            assert backend.statistics().get("control_failures", 0) == 0
        used = lib.pv_packet_pool_used(packet_pool()) - self._used
        assert used == 0, f"{used} packets are held when nothing is under way"

    def _note(self, event: str) -> None:
        self.digest.update(f"{self.machine.now} {event}\n".encode())

    def __repr__(self) -> str:
        hours = self.machine.now / 3600e9
        return (
            f"<Soak {hours:.2f} h, {self.rounds} rounds, {self.packets} packets sent,"
            f" {self.arrivals} have come>"
        )


def soak(seed: int, *, hours: float = 0, seconds: float = 0, report: bool = False) -> str:
    """So many hours of virtual time or, if that is 0, so many seconds of real time. Returns a
    digest of all that has happened."""
    end = time.monotonic() + seconds
    with (
        Machine("512M", virtual_time=True) as machine,
        asyncio.Runner(loop_factory=lambda: DeterministicLoop(seed, machine)) as runner,
    ):

        async def main() -> str:
            async with Soak(machine, seed) as run:
                told = 0.0
                while machine.now < hours * 3600e9 or time.monotonic() < end:
                    try:
                        await run.round()
                    except BaseException as error:
                        error.add_note(f"seed {seed}, round {run.rounds}, {run!r}")
                        raise
                    if report and time.monotonic() > told + 10:
                        told = time.monotonic()
                        print(run, flush=True)
                if report:
                    print(run, flush=True)
            accounts = run.dom0.accounts
            assert accounts["grants_mapped"] == accounts["grants_unmapped"]
            return run.digest.hexdigest()

        return runner.run(main())
