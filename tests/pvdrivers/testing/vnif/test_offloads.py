"""A stream of TCP packets arrives intact, whatever each end can do: combinations of scatter-gather,
segmentation and checksum offload, queues, event channels and ABIs, drawn from a seed."""

from __future__ import annotations

import asyncio
import random
from itertools import product

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.backends.uplinks.uplink import HairpinUplink
from pvdrivers.backends.vnif.device import VnifBackendOptions
from pvdrivers.ring.abi import Abi
from pvdrivers.sim import Domain, Machine
from pvdrivers.testing.vnif.frames import tcp
from pvdrivers.testing.vnif.pair import VnifPair
from pvdrivers.vnif.features import FrontendFeatures, Offloads
from pvdrivers.vnif.packet import Packet, packet_pool

ALL = [Offloads(*bits) for bits in product((False, True), repeat=5)]
SEGMENT = 1000
HEADERS = {4: 14 + 20 + 20, 6: 14 + 40 + 20}


def stream(version: int, agreed: Offloads, content: bytes) -> list[Packet]:
    """The content as TCP packets of one flow, as large and as unfinished as is agreed."""
    gso = agreed.gso_tcpv4 if version == 4 else agreed.gso_tcpv6
    blank = agreed.csum_ipv4 if version == 4 else agreed.csum_ipv6
    step = 20 * SEGMENT if gso else SEGMENT
    return [
        tcp(
            content[at : at + step],
            version=version,
            sequence=at,
            blank=blank,
            segment=SEGMENT if gso and len(content) - at > SEGMENT else 0,
        )
        for at in range(0, len(content), step)
    ]


def check(packet: Packet, takes: Offloads) -> None:
    """That the guest gets nothing that it has not offered to take, and right checksums."""
    version = 4 if packet.data[12:14] == b"\x08\x00" else 6
    gso, blank = (
        (takes.gso_tcpv4, takes.csum_ipv4) if version == 4 else (takes.gso_tcpv6, takes.csum_ipv6)
    )
    assert gso or not packet.gso_type
    assert blank or not packet.csum_blank
    assert packet.gso_type or len(packet.data) <= HEADERS[version] + SEGMENT
    cache = lib.pv_packet_cache_create(packet_pool())
    pointer = packet.to_pointer(cache)
    if packet.csum_blank:
        assert lib.pv_packet_fill_checksum(pointer)
    assert lib.pv_packet_checksums_valid(pointer)
    lib.pv_packet_release(cache, ffi.new("struct pv_packet *[]", [pointer]), 1)
    lib.pv_packet_cache_destroy(cache)


def content_of(packets: list[Packet], version: int) -> bytes:
    """In the order of TCP's sequence numbers."""
    pieces: dict[int, bytes] = {}
    for packet in packets:
        network = 14 + (20 if version == 4 else 40)
        sequence = int.from_bytes(packet.data[network + 4 : network + 8], "big")
        assert sequence not in pieces
        pieces[sequence] = packet.data[network + 20 :]
    return b"".join(pieces[sequence] for sequence in sorted(pieces))


async def transfer(
    dom0: Domain, guest: Domain, front: Offloads, back: Offloads, queues: int, split: bool
) -> None:
    features = FrontendFeatures(front, split_event_channels=split, max_queues=queues)
    options = VnifBackendOptions(
        sg=back.sg,
        gso_tcpv4=back.gso_tcpv4,
        gso_tcpv6=back.gso_tcpv6,
        csum_ipv4=back.csum_ipv4,
        csum_ipv6=back.csum_ipv6,
    )
    with HairpinUplink(4) as uplink:
        pair = VnifPair(
            dom0.hypervisor, guest.hypervisor, uplink, features=features, options=options
        )
        async with asyncio.timeout(30), pair:
            agreement = pair.frontend.agreement
            assert agreement
            assert agreement.offloads == front & back
            for version in (4, 6):
                content = random.Random(version).randbytes(45_678)
                await pair.frontend.send(stream(version, agreement.offloads, content))
                came: list[Packet] = []
                while sum(len(each.data) - HEADERS[version] for each in came) < len(content):
                    came += await pair.frontend.receive()
                assert content_of(came, version) == content
                for packet in came:
                    check(packet, agreement.offloads)
            await pair.frontend.close()  # in order, so that all memory comes back


def run(combinations: list[tuple[Offloads, Offloads, int, bool, Abi]]) -> None:
    async def main() -> None:
        with Machine("512M") as machine:
            dom0 = machine.create_domain(privileged=True)
            guests = {
                abi: machine.create_domain(abi=abi, memory="200M" if abi is Abi.IA64 else "32M")
                for abi in Abi
            }
            for front, back, queues, split, abi in combinations:
                await transfer(dom0, guests[abi], front, back, queues, split)

    asyncio.run(main())


def test_some_combinations(pv_seed: int) -> None:
    draw = random.Random(pv_seed)
    run(
        [
            (
                draw.choice(ALL),
                draw.choice(ALL),
                draw.choice([1, 4]),
                draw.random() < 0.5,
                draw.choice([*Abi]),
            )
            for _ in range(12)
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_all_combinations_of_offloads(part: int) -> None:
    others = list(product([1, 4], [False, True]))
    run(
        [
            (front, back, *others[number % len(others)], Abi.X86_64)
            for number, (front, back) in enumerate(product(ALL[part::8], ALL))
        ]
    )
