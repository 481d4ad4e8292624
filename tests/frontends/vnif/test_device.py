"""The network frontend: what its users call, and what it does when connections come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pvdrivers.backends.uplinks.uplink import HairpinUplink, NullUplink
from pvdrivers.backends.vnif.device import VnifBackend, VnifBackendOptions
from pvdrivers.frontends.vnif import inbox
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.testing.vnif.frames import ethernet, frame, tcp
from pvdrivers.testing.vnif.pair import VnifPair
from pvdrivers.vnif.features import FrontendFeatures, Offloads
from pvdrivers.vnif.packet import Packet
from pvdrivers.xenbus.states import XenbusState

GROUP = "01:00:5e:00:00:fb"
IN_GROUP = ethernet(b"x" * 50, destination=bytes.fromhex(GROUP.replace(":", "")))


def run(
    body: Callable[[VnifPair], Awaitable[None]],
    *,
    uplink: Any = None,
    connect: bool = True,
    **vif: Any,
) -> None:
    async def main() -> None:
        with Machine() as machine, uplink or HairpinUplink(4) as base:
            dom0 = machine.create_domain(privileged=True)
            guest = machine.create_domain()
            pair = VnifPair(dom0.hypervisor, guest.hypervisor, base, connect=connect, **vif)
            async with asyncio.timeout(30), pair:
                await body(pair)

    asyncio.run(main())


async def restart_backend(pair: VnifPair) -> None:
    """A backend that knows nothing of the connection before."""
    await pair.backend.abort()
    pair.new_backend().start()
    await pair.backend.wait_for(XenbusState.CONNECTED)
    await pair.frontend.wait_for(XenbusState.CONNECTED)


async def receive(pair: VnifPair, count: int) -> list[bytes]:
    came: list[bytes] = []
    while len(came) < count:
        came += [packet.data for packet in await pair.frontend.receive()]
    return came


def test_what_is_sent_before_the_connection_waits_for_it() -> None:
    async def body(pair: VnifPair) -> None:
        sending = asyncio.ensure_future(pair.frontend.send([frame(1), frame(2)]))
        await asyncio.sleep(0.02)
        assert not sending.done()
        pair.backend.start()
        pair.frontend.start()
        await sending
        assert await receive(pair, 2) == [frame(1), frame(2)]

    run(body, connect=False)


def test_the_rings_are_there_when_a_backend_may_look_for_them() -> None:
    """Linux's netback connects when the frontend is Connected, and not before."""

    class Netback(VnifBackend):
        async def ready(self) -> bool:
            return self.peer_state is XenbusState.CONNECTED

    async def body(pair: VnifPair) -> None:
        await pair.frontend.send([frame(1)])
        assert await receive(pair, 1) == [frame(1)]

    run(body, backend=Netback)


def test_more_than_the_ring_has_room_for() -> None:
    async def body(pair: VnifPair) -> None:
        sent = [frame(n, 2000) for n in range(1000)]
        sending = asyncio.ensure_future(pair.frontend.send(sent))
        assert await receive(pair, 1000) == sent
        await sending
        assert pair.frontend.statistics()["tx_no_room"] > 0

    run(body)


def test_packets_of_a_flow_stay_in_order_on_several_queues() -> None:
    async def body(pair: VnifPair) -> None:
        sent = [tcp(n.to_bytes(2, "big") * 20, flow=n % 7, sequence=n) for n in range(300)]
        await asyncio.gather(*(pair.frontend.send(sent[i : i + 50]) for i in range(0, 300, 50)))
        came = await receive(pair, 300)
        for flow in range(7):
            expected = [packet.data for packet in sent[flow::7]]
            ports = expected[0][34:36]
            assert [data for data in came if data[34:36] == ports] == expected

    run(body, features=FrontendFeatures(max_queues=4))


@pytest.mark.parametrize(
    "packet",
    [
        bytes(13),
        bytes(65536),
        Packet(tcp(bytes(5000)).data),  # two pages, and no scatter-gather
        tcp(bytes(100), version=6, blank=True),
        tcp(bytes(1000), blank=True, segment=100),
    ],
    ids=["short", "long", "no sg", "no csum6", "no gso"],
)
def test_a_packet_that_cannot_be_sent_is_the_callers_mistake(packet: Packet | bytes) -> None:
    async def body(pair: VnifPair) -> None:
        with pytest.raises(UsageError, match="packet"):
            await pair.frontend.send([frame(1), packet])
        await pair.frontend.send([frame(2)])
        assert frame(2) in await receive(pair, 1)

    run(body, features=FrontendFeatures(offloads=Offloads()), mtu=9000)


def test_flush_waits_for_the_backend() -> None:
    async def body(pair: VnifPair) -> None:
        await pair.frontend.flush()
        await pair.frontend.send([frame(n) for n in range(100)])
        await pair.frontend.flush()
        assert pair.backend.statistics()["tx_packets"] == 100
        assert all(queue.outstanding == 0 for queue in pair.frontend.queues)

    run(body)


def test_close_delivers_what_was_sent() -> None:
    null = NullUplink(4)

    async def body(pair: VnifPair) -> None:
        await pair.frontend.send([frame(n) for n in range(100)])
        await pair.frontend.close()
        assert null.statistics().tx_packets == 100
        for call in (pair.frontend.send([frame(1)]), pair.frontend.receive()):
            with pytest.raises(UsageError, match="closed"):
                await call

    run(body, uplink=null)


def test_a_receiver_and_a_sender_learn_that_the_device_is_gone() -> None:
    async def body(pair: VnifPair) -> None:
        receiving = asyncio.ensure_future(pair.frontend.receive())
        await pair.backend.abort()
        sending = asyncio.ensure_future(pair.frontend.send([frame(n) for n in range(2000)]))
        await asyncio.sleep(0)
        await pair.unplug_forced()
        for call in (receiving, sending):
            with pytest.raises((UsageError, OSError)):
                await call

    run(body)


def test_packets_that_nobody_receives_are_dropped_and_counted() -> None:
    async def body(pair: VnifPair) -> None:
        for start in range(0, 6000, 500):
            await pair.frontend.send([frame(start + n) for n in range(500)])
            await pair.frontend.flush()
        room = inbox.ROOM
        await pair.wait(lambda: pair.frontend.inbox.dropped >= 6000 - room - 1024)
        assert len(pair.frontend.inbox) == room
        assert "packets not received" in pair.frontend.describe()
        assert (await receive(pair, 1))[0] == frame(0)

    run(body)


def test_packets_may_go_to_a_callback() -> None:
    async def body(pair: VnifPair) -> None:
        came: list[Packet] = []
        pair.frontend.inbox.on_packets = came.extend
        await pair.frontend.send([frame(n) for n in range(10)])
        await pair.wait(lambda: len(came) == 10)
        assert [packet.data for packet in came] == [frame(n) for n in range(10)]

    run(body)


def test_each_connection_is_told_to_the_network_stack() -> None:
    async def body(pair: VnifPair) -> None:
        frontend, carrier = pair.frontend, []
        announced: list[asyncio.Future[None]] = []
        frontend.on_carrier = carrier.append
        frontend.on_connected = lambda: announced.append(
            asyncio.ensure_future(frontend.send([frame(7)]))
        )
        for number in range(1, 4):
            await restart_backend(pair)
            assert await receive(pair, 1) == [frame(7)]
            assert len(announced) == number
        assert carrier == [False, True] * 3

    run(body)


def test_a_lost_backend_loses_what_is_on_the_ring_and_nothing_that_waits() -> None:
    async def body(pair: VnifPair) -> None:
        await pair.backend.abort()
        sent = [frame(n) for n in range(1000)]
        sending = asyncio.ensure_future(pair.frontend.send(sent))
        # All that there is room for goes onto the ring at once.
        await pair.wait(lambda: pair.frontend.statistics()["tx_packets"])
        on_ring = pair.frontend.statistics()["tx_packets"]
        assert on_ring < 1000
        pair.new_backend().start()
        came = await receive(pair, 1000 - on_ring)
        await sending
        assert came == sent[on_ring:]

    run(body)


def test_groups_are_joined_again_on_the_next_connection() -> None:
    async def body(pair: VnifPair) -> None:
        await pair.frontend.join(GROUP)
        for _ in range(2):
            await pair.frontend.flush()
            await pair.frontend.send([IN_GROUP])
            assert await receive(pair, 1) == [IN_GROUP]
            await restart_backend(pair)
        await pair.frontend.leave(GROUP)
        await restart_backend(pair)
        await pair.frontend.send([IN_GROUP, frame(1)])
        assert await receive(pair, 1) == [frame(1)]
        for wrong in ("xenbr0", "00:16:3e:00:00:01"):
            with pytest.raises(ValueError, match="multicast"):
                await pair.frontend.join(wrong)

    run(body, features=FrontendFeatures(multicast_control=True))


def test_what_the_backend_lacks_is_a_sentence() -> None:
    async def body(pair: VnifPair) -> None:
        with pytest.raises(UsageError, match="multicast filter cannot be changed"):
            await pair.frontend.filter_multicast(True)
        with pytest.raises(UsageError, match="no XDP headroom"):
            await pair.frontend.set_xdp_headroom(256)
        with pytest.raises(UsageError, match="no control ring"):
            await pair.frontend.set_hash(None)

    options = VnifBackendOptions(
        dynamic_multicast_control=False, xdp_headroom=False, control_ring=False
    )
    run(body, options=options)


def test_xdp_headroom_survives_a_new_connection() -> None:
    async def body(pair: VnifPair) -> None:
        await pair.frontend.set_xdp_headroom(256)
        for headroom in (-1, 2049):
            with pytest.raises(UsageError, match=f"headroom {headroom} is not 0 to 2048"):
                await pair.frontend.set_xdp_headroom(headroom)
        await restart_backend(pair)
        head = pair.backend.head
        assert head
        assert head.xdp_headroom == 256
        await pair.frontend.send([frame(1, 9000)])
        assert await receive(pair, 1) == [frame(1, 9000)]

    run(body)


def test_xdp_headroom_asked_for_between_two_connections() -> None:
    async def body(pair: VnifPair) -> None:
        for moment in range(40):
            pair.frontend.resume()
            for _ in range(moment):
                await asyncio.sleep(0)
            await pair.frontend.set_xdp_headroom(moment)
            await pair.frontend.connected()
            await pair.backend.wait_for(XenbusState.CONNECTED)
            await pair.frontend.send([frame(moment)])
            assert await receive(pair, 1) == [frame(moment)]

    run(body)


@pytest.mark.parametrize(
    ("sg", "mtu", "expected"), [(True, 9000, 9000), (False, 9000, 1500), (True, None, 1500)]
)
def test_mtu(sg: bool, mtu: int | None, expected: int) -> None:
    async def body(pair: VnifPair) -> None:
        assert pair.frontend.mtu == expected
        assert pair.frontend.mac == "00:16:3e:00:01:00"
        length = expected + 14
        await pair.frontend.send([frame(1, length - length % 4)])
        assert len((await receive(pair, 1))[0]) == length - length % 4

    run(body, features=FrontendFeatures(offloads=Offloads(sg=sg)), mtu=mtu)


def test_addresses_are_published_for_the_toolstack() -> None:
    async def body(pair: VnifPair) -> None:
        base = f"/local/domain/{pair.config.frontend_domid}/attr/vif/0"
        await pair.frontend.publish_addresses("10.0.0.2", "10.0.0.3", "fe80::1")
        assert await pair.toolstack.read_str(f"{base}/ipv4/1") == "10.0.0.3"
        assert await pair.toolstack.read_str(f"{base}/ipv6/0") == "fe80::1"
        await pair.frontend.publish_addresses("10.0.0.9")
        assert await pair.toolstack.read_str(f"{base}/ipv4/0") == "10.0.0.9"
        assert not await pair.toolstack.exists(f"{base}/ipv6")
        with pytest.raises(ValueError, match=r"10\.0\.0"):
            await pair.frontend.publish_addresses("10.0.0")

    run(body)


def test_it_describes_itself() -> None:
    async def body(pair: VnifPair) -> None:
        line = pair.frontend.describe()
        assert line.startswith("00:16:3e:00:01:00 /local/domain/1/device/vif/0 connected")
        assert "2 queues of two event channels sg gso-tcpv4" in line
        assert "mtu 1500, link up" in line

    run(body, features=FrontendFeatures(max_queues=2))
