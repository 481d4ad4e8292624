"""The offload matrix: whatever two guests and their backends offer, a file passes between them
intact, in packets that need nothing their receiver has not offered to take.

A guest with each combination of its own offloads and its backend's connects to a switch, on which
there is a guest for each set of offloads that can be agreed on, and exchanges files with one of
them. The same on a hairpin, where it is its own receiver. The oracles are Python: the rules of
negotiation, the checksums, and scapy.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import astuple, dataclass, replace
from functools import partial
from itertools import combinations, product
from typing import Any

import pytest

from pvdrivers.backends.uplinks.switch import Switch, SwitchUplink
from pvdrivers.backends.uplinks.uplink import HairpinUplink, Uplink
from pvdrivers.backends.vnif.device import VnifBackendOptions
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain, Machine
from pvdrivers.testing.vnif.frames import checksums_right, ethernet, ip_version, tcp, udp
from pvdrivers.testing.vnif.pair import VnifPair
from pvdrivers.testing.vnif.profiles import PROFILES, Profile, ProfileFrontend
from pvdrivers.testing.vnif.transfer import (
    Reassembly,
    segments,
    takes_blank,
    takes_gso,
)
from pvdrivers.vnif.features import FrontendFeatures, Offloads
from pvdrivers.vnif.mac import parse_mac
from pvdrivers.vnif.packet import Packet
from pvdrivers.xenstore.store import XenStore

pytest.importorskip("scapy", reason="needs scapy (make install has it)")

from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Dot1Q, Ether

ALL = [Offloads(*bits) for bits in product((False, True), repeat=5)]
LEGAL = [
    each
    for each in ALL
    if (each.sg and each.csum_ipv4) >= each.gso_tcpv4
    and (each.sg and each.csum_ipv6) >= each.gso_tcpv6
]
QUEUES = (1, 4)
SPLIT = (False, True)
CONTENT = random.Random(1).randbytes(25_111)  # in each flow a few segments and a rest
JUMBO = 9000
FLOWS = 4
VLAN = 5


def agreed(front: Offloads, back: Offloads) -> Offloads:
    """What netif's rules make of two offers, said once more in other words."""
    sg = front.sg and back.sg
    csum_ipv4 = front.csum_ipv4 and back.csum_ipv4
    csum_ipv6 = front.csum_ipv6 and back.csum_ipv6
    gso_tcpv4 = front.gso_tcpv4 and back.gso_tcpv4
    gso_tcpv6 = front.gso_tcpv6 and back.gso_tcpv6
    if not sg or not csum_ipv4:
        gso_tcpv4 = False
    if not sg or not csum_ipv6:
        gso_tcpv6 = False
    return Offloads(sg, gso_tcpv4, gso_tcpv6, csum_ipv4, csum_ipv6)


def options(offloads: Offloads, queues: int, split: bool) -> VnifBackendOptions:
    return VnifBackendOptions(
        sg=offloads.sg,
        gso_tcpv4=offloads.gso_tcpv4,
        gso_tcpv6=offloads.gso_tcpv6,
        csum_ipv4=offloads.csum_ipv4,
        csum_ipv6=offloads.csum_ipv6,
        max_queues=queues,
        split_event_channels=split,
    )


def ip_fragments() -> list[bytes]:
    """What of IP packets follows an Ethernet header's addresses."""
    payload = CONTENT[:4000]
    four = fragment(IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / payload, fragsize=1480)
    whole = IPv6(src="fd00::1", dst="fd00::2") / IPv6ExtHdrFragment() / UDP() / payload
    six = fragment6(whole, 1480)
    types = {IP: b"\x08\x00", IPv6: b"\x86\xdd"}
    return [types[type(each)] + bytes(each) for each in (*four, *six)]


FRAGMENTS = ip_fragments()


@dataclass
class End:
    """A guest's vif, and what it must have agreed on with its backend."""

    pair: VnifPair
    offloads: Offloads

    @property
    def mac(self) -> bytes:
        return parse_mac(self.pair.config.backend_keys["mac"])

    @property
    def frontend(self) -> Any:
        return self.pair.frontend

    async def announce(self) -> None:
        """The switch learns where it is, in each VLAN, by packets that go no further."""
        addresses = self.mac + self.mac
        await self.frontend.send(
            [addresses + b"\0\0", addresses + b"\x81\0" + bytes(Dot1Q(vlan=VLAN))]
        )
        await self.frontend.flush()

    def check_agreement(self, queues: int, split: bool) -> None:
        agreement = self.frontend.agreement
        assert agreement.offloads == self.offloads
        assert agreement.queues == len(self.pair.backend.packet_queues) == queues
        ports = self.frontend.packet_queues
        assert all(bool(queue.second_port) == split for queue in ports)


async def check_refusals(end: End) -> None:
    """Its frontend sends nothing that the backend does not take."""
    page = end.frontend.hypervisor.page_size
    refused = [Packet(ethernet(bytes(page)))] if not end.offloads.sg else []
    for version in (4, 6):
        if not takes_blank(end.offloads, version):
            refused.append(tcp(b"x", version=version, blank=True))
        if not takes_gso(end.offloads, version):
            refused.append(tcp(bytes(999), version=version, blank=True, segment=500))
    for packet in refused:
        with pytest.raises(UsageError):
            await end.frontend.send([packet])


async def transfer(sender: End, receiver: End, version: int) -> list[Packet]:
    packets = segments(
        CONTENT,
        sender.offloads,
        version=version,
        flows=FLOWS,
        source=sender.mac,
        destination=receiver.mac,
    )
    received = Reassembly(receiver.offloads)
    await sender.frontend.send(packets)
    while received.length(version) < len(CONTENT):
        received.take(await receiver.frontend.receive())
    assert received.content(version) == CONTENT
    if takes_gso(sender.offloads, version) and takes_gso(receiver.offloads, version):
        assert len(received.packets) == len(packets)  # none was cut on the way
    return received.packets


def plain(sender: End, receiver: End) -> Iterable[tuple[Packet, bytes]]:
    """Packets that are no TCP segments, and what each is when its checksum is complete."""
    ends = {"source": sender.mac, "destination": receiver.mac}
    for version in (4, 6):
        for flow in range(FLOWS):
            make = partial(udp, CONTENT[: 18 + flow], version=version, flow=flow, **ends)
            yield make(blank=takes_blank(sender.offloads, version)), make().data
    others = [
        *(receiver.mac + sender.mac + each for each in FRAGMENTS),
        bytes(Ether(src=sender.mac, dst=receiver.mac) / Dot1Q(vlan=VLAN) / IP() / CONTENT[:1480]),
        ethernet(b"neither IP nor long" * 3, **ends),
    ]
    if sender.offloads.sg and receiver.offloads.sg:
        others.append(tcp(CONTENT[: JUMBO - 40], **ends).data)
    for data in others:
        yield Packet(data), data


async def transfer_plain(sender: End, receiver: End) -> None:
    sent = list(plain(sender, receiver))
    await sender.frontend.send([packet for packet, _ in sent])
    came: list[Packet] = []
    while len(came) < len(sent):
        came += await receiver.frontend.receive()
    blank = {packet.data: complete for packet, complete in sent}
    for packet in came:
        if packet.csum_blank:
            assert takes_blank(receiver.offloads, ip_version(packet.data))
            assert checksums_right(packet)
    complete = [blank[each.data] if each.csum_blank else each.data for each in came]
    assert sorted(complete) == sorted(data for _, data in sent)


async def check_too_long(sender: End, receiver: End) -> None:
    """What needs several slots is dropped, and counted, for a receiver of single pages."""
    if not sender.offloads.sg or receiver.offloads.sg:
        return
    before = receiver.pair.backend.statistics()["rx_dropped"]
    long = ethernet(bytes(JUMBO), source=sender.mac, destination=receiver.mac)
    if len(long) > receiver.frontend.hypervisor.page_size:
        behind = ethernet(b"behind it" * 9, source=sender.mac, destination=receiver.mac)
        await sender.frontend.send([long, behind])
        assert [packet.data for packet in await receiver.frontend.receive()] == [behind]
        assert receiver.pair.backend.statistics()["rx_dropped"] == before + 1


async def exchange(one: End, other: End) -> list[Packet]:
    """Both ways; what has come."""
    await check_refusals(one)
    came = []
    for sender, receiver in ((one, other), (other, one))[: 1 if one is other else 2]:
        for version in (4, 6):
            came += await transfer(sender, receiver, version)
        await transfer_plain(sender, receiver)
        await check_too_long(sender, receiver)
    return came


class Network:
    """A switch and a connected guest for each set of offloads that can be agreed on."""

    def __init__(self) -> None:
        self.machine = Machine("2G")
        self.dom0 = self.machine.create_domain(privileged=True)
        self.store = XenStore()
        self.switch = Switch(ageing_ns=1 << 62)
        self.far: list[End] = []
        self._domains: dict[Abi, Domain] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Network:
        async with AsyncExitStack() as stack:
            stack.enter_context(self.machine)
            stack.enter_context(self.switch)
            for number, offloads in enumerate(LEGAL):
                queues, split = QUEUES[number % 2], SPLIT[number // 2 % 2]
                uplink = stack.enter_context(self.switch.port(queues))
                features = FrontendFeatures(offloads, split, max_queues=queues)
                end = self.guest(uplink, offloads, options(offloads, queues, split), features)
                await stack.enter_async_context(end.pair)
                end.check_agreement(queues, split)
                await end.announce()
                self.far.append(end)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def guest(
        self,
        uplink: Uplink,
        offloads: Offloads,
        backend: VnifBackendOptions,
        features: FrontendFeatures | None = None,
        *,
        domain: Domain | None = None,
        profile: Profile | None = None,
    ) -> End:
        domain = domain or self.machine.create_domain(memory="64M")
        pair = VnifPair(
            self.dom0.hypervisor,
            domain.hypervisor,
            uplink,
            options=backend,
            features=features,
            frontend=partial(ProfileFrontend, profile=profile) if profile else None,
            xenstore=self.store,
        )
        return End(pair, offloads)

    @asynccontextmanager
    async def near(
        self, uplink: Uplink, *arguments: Any, abi: Abi = Abi.X86_64, **keywords: Any
    ) -> AsyncIterator[End]:
        """A guest that is connected; it is unplugged in order, and leaves nothing behind."""
        if abi not in self._domains:
            self._domains[abi] = self.machine.create_domain(abi=abi, memory="160M")
        end = self.guest(uplink, *arguments, domain=self._domains[abi], **keywords)
        async with end.pair:
            if isinstance(uplink, SwitchUplink):
                await end.announce()
            yield end
            assert await end.pair.unplug()


@dataclass(frozen=True)
class Combination:
    front: Offloads
    back: Offloads
    queues: int
    split: bool
    abi: Abi = Abi.X86_64
    far: int = 0  # which of the guests that are there it talks to
    hairpin: bool = False


async def check(network: Network, combination: Combination) -> list[Packet]:
    each = combination
    uplink = HairpinUplink(4) if each.hairpin else network.switch.port(4)
    near = network.near(
        uplink,
        agreed(each.front, each.back),
        options(each.back, each.queues, each.split),
        FrontendFeatures(each.front, split_event_channels=True, max_queues=4),
        abi=each.abi,
    )
    with uplink:
        async with asyncio.timeout(60), near as end:
            end.check_agreement(each.queues, each.split)
            return await exchange(end, end if each.hairpin else network.far[each.far])


def run(body: Callable[[Network], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Network() as network:
            await body(network)

    asyncio.run(main())


def covering(draw: random.Random, factors: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Choices of a value for each factor, in which each two values of two factors meet."""
    left = {
        ((one, a), (other, b))
        for one, other in combinations(factors, 2)
        for a in range(len(factors[one]))
        for b in range(len(factors[other]))
    }
    rows = []
    while left:
        seed = draw.choice(sorted(left))
        best: tuple[int, dict[str, int], set[Any]] = (0, {}, set())
        for _ in range(50):
            row = {name: draw.randrange(len(values)) for name, values in factors.items()}
            row.update(seed)
            met = set(combinations(row.items(), 2)) & left
            if len(met) > best[0]:
                best = len(met), row, met
        left -= best[2]
        rows.append({name: factors[name][at] for name, at in best[1].items()})
    return rows


OFFLOADS = ("sg", "gso_tcpv4", "gso_tcpv6", "csum_ipv4", "csum_ipv6")


def test_each_pair_of_choices(pv_seed: int) -> None:
    """Of offloads at either end, queues, event channels, ABI, the guest that it talks to."""
    factors: dict[str, list[Any]] = {
        f"{end} {name}": [False, True] for end in ("front", "back") for name in OFFLOADS
    }
    factors |= {"queues": [*QUEUES], "split": [*SPLIT], "abi": [*Abi], "hairpin": [False, True]}
    factors["far"] = [*range(len(LEGAL))]
    rows = covering(random.Random(pv_seed), factors)

    async def body(network: Network) -> None:
        for row in rows:
            front = Offloads(*(row.pop(f"front {name}") for name in OFFLOADS))
            back = Offloads(*(row.pop(f"back {name}") for name in OFFLOADS))
            await check(network, Combination(front, back, **row))

    run(body)


def pairs() -> list[Combination]:
    """All offloads of both ends, each pair once. Whether an end offers an odd number decides its
    part, so up to four offloads of either end meet all numbers of queues and kinds of channels."""
    return [
        Combination(
            front,
            back,
            queues=QUEUES[sum(astuple(front)) % 2],
            split=SPLIT[sum(astuple(back)) % 2],
            far=number % len(LEGAL),
        )
        for number, (front, back) in enumerate(product(ALL, ALL))
    ]


def test_offloads_of_both_ends_meet_all_queues_and_channels() -> None:
    met = {
        (mine, on, theirs, also_on, each.queues, each.split)
        for each in pairs()
        for mine, on in enumerate(astuple(each.front))
        for theirs, also_on in enumerate(astuple(each.back))
    }
    names, values = range(len(OFFLOADS)), (False, True)
    assert met == set(product(names, values, names, values, QUEUES, SPLIT))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("hairpin", [False, True], ids=["switch", "hairpin"])
def test_all_offloads_of_both_ends(hairpin: bool) -> None:
    async def body(network: Network) -> None:
        for each in pairs():
            await check(network, replace(each, hairpin=hairpin))

    run(body)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_all_backends_of_a_profile(profile: Profile) -> None:
    features = profile.features

    async def body(network: Network) -> None:
        for number, (back, queues, split) in enumerate(product(ALL, QUEUES, SPLIT)):
            near = network.near(
                uplink := network.switch.port(4),
                agreed(features.offloads, back),
                options(back, queues, split),
                abi=profile.abi,
                profile=profile,
            )
            with uplink:
                async with asyncio.timeout(60), near as end:
                    end.check_agreement(
                        min(queues, features.max_queues), split and features.split_event_channels
                    )
                    await exchange(end, network.far[number % len(LEGAL)])

    run(body)


def test_scapy_finds_the_same_checksums() -> None:
    """In what is complete, of each set of offloads."""

    async def body(network: Network) -> None:
        for far, front in enumerate(LEGAL):
            came = await check(network, Combination(front, front, 1, True, far=far))
            for packet in [each for each in came if not each.csum_blank][::20]:
                again = Ether(packet.data)
                del again[TCP].chksum
                if ip_version(packet.data) == 4:
                    del again[IP].chksum
                assert bytes(again) == packet.data

    run(body)
