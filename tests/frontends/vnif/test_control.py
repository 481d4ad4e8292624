"""The control ring: how the backend spreads what a guest receives over its queues."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable

import pytest

from pvdrivers._core import lib
from pvdrivers.backends.uplinks.uplink import HairpinUplink
from pvdrivers.frontends.vnif.control import IPV4_TCP, IPV6_TCP, HashSettings
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.testing.vnif.frames import frame, tcp
from pvdrivers.testing.vnif.pair import VnifPair
from pvdrivers.testing.vnif.profiles import RSS_KEY
from pvdrivers.vnif.features import FrontendFeatures
from pvdrivers.vnif.packet import HashAlgorithm, Packet
from pvdrivers.xenbus.states import XenbusState

QUEUES = 4


def toeplitz(data: bytes) -> int:
    """As Microsoft's specification of receive side scaling has it, bit by bit."""
    key = int.from_bytes(RSS_KEY, "big")
    bits = len(RSS_KEY) * 8
    value = 0
    for position in range(len(data) * 8):
        if data[position // 8] & 0x80 >> position % 8:
            value ^= key >> bits - 32 - position & 0xFFFFFFFF
    return value


def test_the_model_has_microsofts_values() -> None:
    source, destination = (socket.inet_aton(a) for a in ("66.9.149.187", "161.142.100.80"))
    ports = (2794).to_bytes(2, "big") + (1766).to_bytes(2, "big")
    assert toeplitz(source + destination + ports) == 0x51CCC178
    assert toeplitz(source + destination) == 0x323E8FC2


def run(body: Callable[[VnifPair], Awaitable[None]]) -> None:
    async def main() -> None:
        with Machine() as machine, HairpinUplink(QUEUES) as uplink:
            dom0, guest = machine.create_domain(privileged=True), machine.create_domain()
            pair = VnifPair(
                dom0.hypervisor,
                guest.hypervisor,
                uplink,
                features=FrontendFeatures(max_queues=QUEUES),
            )
            async with asyncio.timeout(30), pair:
                await body(pair)

    asyncio.run(main())


def hashed(packet: Packet) -> int:
    """Of addresses and ports, as they lie in the packet."""
    return toeplitz(packet.data[26:38] if packet.data[12:14] == b"\x08\x00" else
                    packet.data[22:58])  # fmt: skip


async def echo(pair: VnifPair, sent: list[Packet]) -> list[Packet]:
    await pair.frontend.send(sent)
    came: list[Packet] = []
    while len(came) < len(sent):
        came += await pair.frontend.receive()
    return came


def received(pair: VnifPair) -> list[int]:
    return [queue.statistics()["rx_packets"] for queue in pair.frontend.packet_queues]


FLOWS = [tcp(b"x" * 40, version=version, flow=n) for n in range(60) for version in (4, 6)]


@pytest.mark.parametrize("mapping", [(), (3,), tuple(n * 7 % 4 for n in range(128))])
def test_the_backend_spreads_packets_by_hash_and_mapping(mapping: tuple[int, ...]) -> None:
    async def body(pair: VnifPair) -> None:
        settings = HashSettings(RSS_KEY, IPV4_TCP | IPV6_TCP, mapping)
        await pair.frontend.set_hash(settings)
        expected = [0] * QUEUES
        for packet in FLOWS:
            value = hashed(packet)
            queue = mapping[value % len(mapping)] if mapping else value % QUEUES
            expected[queue] += 1
        came = await echo(pair, FLOWS)
        assert received(pair) == expected
        for packet in came:
            assert packet.hash_algorithm is HashAlgorithm.TOEPLITZ
            assert packet.hash == hashed(packet)
            assert 1 << packet.hash_type == (IPV4_TCP if packet.data[12] == 8 else IPV6_TCP)

    run(body)


def test_without_a_hash_packets_come_as_the_uplink_gives_them() -> None:
    async def body(pair: VnifPair) -> None:
        await pair.frontend.set_hash(HashSettings(RSS_KEY, mapping=(2,)))
        await pair.frontend.set_hash(None)
        came = await echo(pair, FLOWS)
        assert all(packet.hash_algorithm is HashAlgorithm.NONE for packet in came)
        assert sum(count > 0 for count in received(pair)) > 1  # as they were sent

    run(body)


def test_the_hash_counts_with_another_uplink_too() -> None:
    """The frontend does not notice the exchange, so it does not say again what it has set."""

    async def body(pair: VnifPair) -> None:
        await pair.frontend.set_hash(HashSettings(RSS_KEY, mapping=(1,)))
        with HairpinUplink(4) as uplink:
            old = await pair.backend.replace_uplink(uplink)
            await pair.frontend.send([tcp(b"x")])
            (packet,) = await pair.frontend.receive()
            assert packet.hash_algorithm is HashAlgorithm.TOEPLITZ
            await pair.backend.replace_uplink(old)

    run(body)


def test_the_hash_counts_on_the_next_connection_too() -> None:
    async def body(pair: VnifPair) -> None:
        await pair.frontend.set_hash(HashSettings(RSS_KEY, mapping=(2,)))
        await pair.backend.abort()
        pair.new_backend().start()
        await pair.backend.wait_for(XenbusState.CONNECTED)
        await pair.frontend.wait_for(XenbusState.CONNECTED)
        await pair.wait(lambda: pair.backend.statistics()["control_requests"] == 5)
        await echo(pair, FLOWS)
        assert received(pair) == [0, 0, len(FLOWS), 0]

    run(body)


def test_a_mapping_fits_the_queues_of_each_connection() -> None:
    """It names as many as the first one has; a backend refuses those that are not there."""

    async def body(pair: VnifPair) -> None:
        await pair.frontend.set_hash(HashSettings(RSS_KEY, mapping=(0, 1, 2, 3)))
        first = pair.uplink
        with HairpinUplink(2) as narrow:
            for uplink, queues in ((narrow, 2), (first, 4)):
                restored = pair.frontend._restoring
                await pair.backend.abort()
                pair.uplink = uplink
                pair.new_backend().start()
                await pair.wait(lambda old=restored: pair.frontend._restoring not in (old, None))
                await pair.frontend._restoring
                await echo(pair, FLOWS)
                assert len(received(pair)) == queues
                assert min(received(pair)) > 0
                assert pair.backend.statistics()["control_failures"] == 0

    run(body)


def test_a_backend_that_is_lost_while_the_hash_is_set() -> None:
    """Whichever of its requests is under way then, the next connection has all of it."""

    async def body(pair: VnifPair) -> None:
        for moment in range(24):
            queue = moment % QUEUES
            setting = asyncio.create_task(
                pair.frontend.set_hash(HashSettings(RSS_KEY, mapping=(queue,)))
            )
            for _ in range(moment):
                await asyncio.sleep(0)
            restored = pair.frontend._restoring
            await pair.backend.abort()
            for _ in range(moment):
                await asyncio.sleep(0)
            pair.new_backend().start()
            await setting
            await pair.wait(lambda old=restored: pair.frontend._restoring not in (old, None))
            await pair.frontend._restoring
            await echo(pair, FLOWS)
            expected = [0] * QUEUES
            expected[queue] = len(FLOWS)
            assert received(pair) == expected

    run(body)


def test_what_the_backend_refuses_is_an_oserror() -> None:
    async def body(pair: VnifPair) -> None:
        ask = pair.frontend._control.ask
        with pytest.raises(OSError, match="status 1") as caught:
            await ask(11)
        assert caught.value.errno == errno.EOPNOTSUPP
        with pytest.raises(OSError, match="status") as caught:
            await ask(lib.XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, (1 << 20,))
        assert caught.value.errno in (errno.EINVAL, errno.EOVERFLOW)
        algorithm = lib.XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ
        assert await ask(lib.XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, (algorithm,)) == 0
        assert await ask(lib.XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS) & IPV4_TCP
        assert await echo(pair, [Packet(frame(1))])
        assert pair.backend.statistics()["control_failures"] == 2

    run(body)


@pytest.mark.parametrize(
    "wrong",
    [{"key": b""}, {"key": bytes(41)}, {"types": 0}, {"types": 16}, {"mapping": (0,) * 129}],
)
def test_settings_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(UsageError, match=r"hash|mapping"):
        HashSettings(**{"key": RSS_KEY, **wrong})


def test_a_mapping_to_queues_that_are_not_there() -> None:
    async def body(pair: VnifPair) -> None:
        with pytest.raises(UsageError, match="queues beyond the 4"):
            await pair.frontend.set_hash(HashSettings(RSS_KEY, mapping=(0, 4)))

    run(body)
