"""The network backend on xenbus: what it offers, waits for, reads again, and survives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pvdrivers.backends.uplinks.filters import PacketLoss
from pvdrivers.backends.uplinks.uplink import HairpinUplink, NullUplink
from pvdrivers.backends.vnif.device import VnifBackendOptions
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.sim import Machine
from pvdrivers.testing.vnif.frames import ethernet, frame, tcp
from pvdrivers.testing.vnif.pair import VnifPair
from pvdrivers.vnif.features import FrontendFeatures, Offloads
from pvdrivers.vnif.rate import Rate
from pvdrivers.xenbus.states import XenbusState

GROUP = "01:00:5e:00:00:fb"


def run(
    body: Callable[[VnifPair], Awaitable[None]],
    *,
    uplink: Any = None,
    abi: Abi = Abi.X86_64,
    connect: bool = True,
    **vif: Any,
) -> None:
    """`body` with both ends of a vif, on a hairpin of four queues unless said otherwise."""

    async def main() -> None:
        with Machine("512M") as machine, uplink or HairpinUplink(4) as base:
            dom0 = machine.create_domain(privileged=True)
            guest = machine.create_domain(abi=abi, memory="256M")
            pair = VnifPair(dom0.hypervisor, guest.hypervisor, base, connect=connect, **vif)
            async with asyncio.timeout(30), pair:
                await body(pair)
            mapped = dom0.accounts
            assert mapped["grants_mapped"] == mapped["grants_unmapped"]

    asyncio.run(main())


async def echo(pair: VnifPair, *frames: Any) -> list[bytes]:
    """What comes back of what is sent."""
    await pair.frontend.send(frames)
    came: list[bytes] = []
    while len(came) < len(frames):
        came += [packet.data for packet in await pair.frontend.receive()]
    return came


async def key(pair: VnifPair, name: str) -> str | None:
    return await pair.toolstack.read_optional(f"{pair.config.backend_path}/{name}")


def test_what_is_offered_is_what_netback_offers() -> None:
    async def body(pair: VnifPair) -> None:
        pair.backend.start()
        await pair.backend.wait_for(XenbusState.INIT_WAIT)
        names = ("sg", "gso-tcpv4", "gso-tcpv6", "ipv6-csum-offload", "rx-copy",
                 "multicast-control", "dynamic-multicast-control", "split-event-channels",
                 "xdp-headroom")  # fmt: skip
        assert [await key(pair, f"feature-{name}") for name in names] == ["1"] * len(names)
        assert await key(pair, "feature-rx-flip") == "0"
        assert await key(pair, "feature-no-csum-offload") == "0"
        assert await key(pair, "multi-queue-max-queues") == "4"

    run(body, connect=False)


def test_no_more_queues_than_the_uplink_has() -> None:
    async def body(pair: VnifPair) -> None:
        assert await key(pair, "multi-queue-max-queues") == "2"
        assert len(pair.frontend.packet_queues) == 2

    run(body, uplink=HairpinUplink(2), features=FrontendFeatures(max_queues=4))


def test_an_uplink_in_use_is_neither_closed_nor_taken_over() -> None:
    uplink = HairpinUplink(2)

    async def body(pair: VnifPair) -> None:
        for refused in (
            uplink.close,
            uplink.discard,
            lambda: PacketLoss(uplink, seed=1, probability=1),
        ):
            with pytest.raises(UsageError, match="in use by a backend: end that first"):
                refused()
        sent = frame(1)
        await pair.frontend.send([sent])
        assert [packet.data for packet in await pair.frontend.receive()] == [sent]
        await pair.backend.abort()
        uplink.check_unused()

    run(body, uplink=uplink)


@pytest.mark.parametrize("abi", list(Abi))
@pytest.mark.parametrize("queues", [1, 4])
@pytest.mark.parametrize("split", [False, True])
def test_packets_of_all_lengths_come_back(abi: Abi, queues: int, split: bool) -> None:
    async def body(pair: VnifPair) -> None:
        sent = [frame(n, length) for n, length in enumerate((18, 60, 1514, 4096, 9014, 60000))]
        sent += [tcp(bytes(100), flow=flow).data for flow in range(8)]
        assert sorted(await echo(pair, *sent)) == sorted(sent)
        queues_used = [queue.statistics()["tx_packets"] > 0 for queue in pair.backend.packet_queues]
        assert sum(queues_used) > 1 if queues > 1 else queues_used == [True]
        assert pair.frontend.agreement.queues == queues
        assert (pair.frontend.packet_queues[0].second_port != 0) == split

    features = FrontendFeatures(max_queues=queues, split_event_channels=split)
    run(body, abi=abi, features=features)


def test_connected_waits_for_the_hotplug_script() -> None:
    async def body(pair: VnifPair) -> None:
        pair.backend.start()
        pair.frontend.start()
        await pair.frontend.wait_for(XenbusState.INITIALISED)
        for status in ("", "error"):
            await pair.toolstack.write(f"{pair.config.backend_path}/hotplug-status", status)
            await asyncio.sleep(0.02)
            assert pair.backend.state is XenbusState.INIT_WAIT
        await pair.toolstack.write(f"{pair.config.backend_path}/hotplug-status", "connected")
        await pair.frontend.connected()

    options = VnifBackendOptions(wait_for_hotplug=True)
    run(body, connect=False, options=options, script="vif-bridge")


@pytest.mark.parametrize("own", list(XenbusState)[1:3], ids=lambda state: state.name.lower())
def test_a_backend_that_ends_while_it_waits_for_the_script(own: XenbusState) -> None:
    """The frontend has published Connected, but has no connection that the next could take up."""

    async def body(pair: VnifPair) -> None:
        pair.backend.start()
        pair.frontend.start()
        await pair.frontend.wait_for(XenbusState.INITIALISED)
        await pair.backend.abort()
        path = pair.config.backend_path
        await pair.toolstack.write(f"{path}/state", str(int(own)))
        await pair.toolstack.write(f"{path}/hotplug-status", "connected")
        pair.new_backend().start()
        await pair.frontend.connected()
        assert await echo(pair, frame(1)) == [frame(1)]

    options = VnifBackendOptions(wait_for_hotplug=True)
    run(body, connect=False, options=options, script="vif-bridge")


def test_rate_is_read_again_while_connected(caplog: pytest.LogCaptureFixture) -> None:
    async def body(pair: VnifPair) -> None:
        assert pair.backend.rate == Rate(62500, 50000)
        path = f"{pair.config.backend_path}/rate"
        await pair.toolstack.write(path, "1000000,1000")
        await pair.wait(lambda: pair.backend.rate == Rate(1000000, 1000))
        await pair.toolstack.write(path, "much")
        await pair.wait(lambda: pair.backend.rate == Rate())
        assert "rate 'much' is not BYTES,USEC: no limit" in caplog.text
        await pair.toolstack.remove(path)
        assert await echo(pair, frame(1)) == [frame(1)]
        assert pair.backend.state is XenbusState.CONNECTED

    run(body, rate="10Mb/s")


def test_a_rate_limits_what_the_guest_sends_and_a_new_one_frees_it() -> None:
    async def body(pair: VnifPair) -> None:
        sent = [frame(n, 60000) for n in range(6)]  # the first 128 KiB pass at once
        task = asyncio.ensure_future(echo(pair, *sent))
        await pair.wait(lambda: pair.backend.statistics()["throttled"] > 0)
        assert not task.done()
        await pair.toolstack.write(f"{pair.config.backend_path}/rate", "1000000000,1000")
        assert sorted(await task) == sorted(sent)

    run(body, rate="1KB/s")


def test_multicast_filter_follows_the_request_while_connected() -> None:
    async def body(pair: VnifPair) -> None:
        other, wanted = (ethernet(b"x" * 50, destination=bytes.fromhex(mac.replace(":", "")))
                         for mac in ("01:00:5e:00:00:99", GROUP))  # fmt: skip
        assert sorted(await echo(pair, other, wanted)) == sorted([other, wanted])
        netback = pair.backend._opened
        filtering: list[bool] = []
        apply = netback.set_multicast_control

        def note(enabled: bool) -> None:
            apply(enabled)
            filtering.append(enabled)

        netback.set_multicast_control = note
        await pair.frontend.join(GROUP)
        await pair.frontend.flush()
        await pair.frontend.filter_multicast(True)
        await pair.wait(lambda: filtering[-1:] == [True])
        await pair.frontend.send([other, wanted])
        assert [packet.data for packet in await pair.frontend.receive()] == [wanted]
        assert pair.backend.statistics()["rx_filtered"] == 1
        await pair.frontend.leave(GROUP)
        await pair.frontend.flush()  # a backend may take both at once
        await pair.frontend.send([wanted])
        await pair.wait(lambda: pair.backend.statistics()["rx_filtered"] == 2)
        await pair.frontend.filter_multicast(False)
        await pair.wait(lambda: filtering[-1:] == [False])
        assert await echo(pair, other) == [other]

    run(body)


def test_a_static_filter_counts_from_the_connection_on() -> None:
    async def body(pair: VnifPair) -> None:
        await pair.frontend.send([ethernet(b"x" * 50, destination=bytes.fromhex("01005e000099"))])
        assert await echo(pair, frame(1)) == [frame(1)]  # broadcast is not filtered
        assert pair.backend.statistics()["rx_filtered"] == 1
        path = f"{pair.config.frontend_path}/request-multicast-control"
        await pair.toolstack.write(path, "0")
        await asyncio.sleep(0.05)
        await pair.frontend.send([ethernet(b"x" * 50, destination=bytes.fromhex("01005e000099"))])
        await pair.wait(lambda: pair.backend.statistics()["rx_filtered"] == 2)

    options = VnifBackendOptions(dynamic_multicast_control=False)
    run(body, options=options, features=FrontendFeatures(multicast_control=True))


def test_xdp_headroom_is_agreed_in_states_7_and_8() -> None:
    async def body(pair: VnifPair) -> None:
        published: list[tuple[str, int]] = []
        for name, end in (("front", pair.frontend), ("back", pair.backend)):

            async def note(
                state: XenbusState, name: str = name, honest: Any = end._publish
            ) -> None:
                published.append((name, int(state)))
                await honest(state)

            end._publish = note
        await pair.frontend.set_xdp_headroom(256)
        await pair.wait(lambda: len(published) == 4)
        assert published == [("front", 7), ("back", 8), ("front", 4), ("back", 4)]
        assert await pair.toolstack.read_str(f"{pair.config.frontend_path}/xdp-headroom") == "256"
        sent = [frame(1, 1514), frame(2, 9000)]
        assert await echo(pair, *sent) == sent

    run(body)


def test_carrier() -> None:
    async def body(pair: VnifPair) -> None:
        assert pair.frontend.carrier
        seen: list[bool] = []
        pair.frontend.on_carrier = seen.append
        for up in (False, True, False):
            await pair.backend.set_carrier(up)
            assert await key(pair, "carrier") == str(int(up))
            await pair.wait(lambda up=up: pair.frontend.carrier is up)
        assert seen == [False, True, False]
        assert "link down" in pair.backend.describe()
        assert "link down" in pair.frontend.describe()

    run(body)


def test_the_toolstack_may_pull_the_cable() -> None:
    async def body(pair: VnifPair) -> None:
        path = f"{pair.config.frontend_path}/disconnect"
        await pair.toolstack.write(path, "1")
        await pair.wait(lambda: not pair.frontend.carrier)
        await pair.toolstack.write(path, "0")
        await pair.wait(lambda: pair.frontend.carrier)

    run(body)


def test_speed_is_told() -> None:
    async def body(pair: VnifPair) -> None:
        assert pair.frontend.speed == 10000

    run(body, options=VnifBackendOptions(speed=10000))


@pytest.mark.parametrize("sg", [False, True])
@pytest.mark.parametrize("rx_notify", [False, True])
def test_legacy_frontends(sg: bool, rx_notify: bool) -> None:
    """Without scatter-gather, without rx-notify, with one event channel, and by packets of one
    page."""

    async def body(pair: VnifPair) -> None:
        rounds = [[frame(10 * n + k, 1514) for k in range(8)] for n in range(40)]
        for sent in rounds:  # more than a ring of buffers
            assert sorted(await echo(pair, *sent)) == sorted(sent)

    features = FrontendFeatures(
        offloads=Offloads(sg=sg),
        rx_notify=rx_notify,
        split_event_channels=False,
        control_ring=False,
    )
    run(body, features=features)


def test_another_uplink_while_packets_flow() -> None:
    async def body(pair: VnifPair) -> None:
        null = NullUplink(4)
        backend = pair.backend
        await echo(pair, frame(1))
        states = await _states(pair)
        old = await backend.replace_uplink(null)
        await pair.frontend.send([frame(2)])
        await pair.wait(lambda: null.statistics().tx_packets == 1)
        assert await backend.replace_uplink(old) is null
        assert await echo(pair, frame(3)) == [frame(3)]
        assert await _states(pair) == states
        null.close()

    run(body)


def test_another_uplink_keeps_what_the_guest_has_told_the_vif() -> None:
    """The frontend tells nothing again, since it does not notice."""

    async def body(pair: VnifPair) -> None:
        other, wanted = (ethernet(b"x" * 50, destination=bytes.fromhex(mac.replace(":", "")))
                         for mac in ("01:00:5e:00:00:99", GROUP))  # fmt: skip
        await pair.frontend.set_xdp_headroom(256)
        await pair.frontend.use_static_grants()
        await pair.frontend.join(GROUP)
        await pair.frontend.flush()
        with HairpinUplink(4) as uplink:
            old = await pair.backend.replace_uplink(uplink)
            before = pair.backend.statistics()
            await pair.frontend.send([other])
            assert await echo(pair, wanted) == [wanted]
            after = pair.backend.statistics()
            assert after["rx_filtered"] == before["rx_filtered"] + 1
            assert after["grant_copies"] == before["grant_copies"]
            assert after["control_requests"] == before["control_requests"]
            assert after["rx_slots"] == before["rx_slots"] + 2  # the packet, and its headroom
            await pair.backend.replace_uplink(old)

    run(body, features=FrontendFeatures(multicast_control=True))


async def _states(pair: VnifPair) -> list[str | None]:
    paths = (pair.config.frontend_path, pair.config.backend_path)
    return await pair.toolstack.read_present([f"{path}/state" for path in paths])


def test_a_frontend_that_starts_over_is_served_again() -> None:
    async def body(pair: VnifPair) -> None:
        for number in range(3):
            assert await echo(pair, frame(number)) == [frame(number)]
            await pair.frontend.abort()
            pair.new_frontend().start()
            await pair.frontend.connected()

    run(body, features=FrontendFeatures(max_queues=2))


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    for wrong in ({"max_queues": 0}, {"max_queues": 65}, {"rx_drain_ms": -1}, {"speed": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            VnifBackendOptions(**wrong)  # type: ignore[arg-type]


def test_a_garbled_mac_of_the_toolstack_is_one_sentence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    async def body(pair: VnifPair) -> None:
        await pair.toolstack.write(f"{pair.config.backend_path}/mac", "none")
        pair.backend.start()
        pair.frontend.start()
        with pytest.raises(PeerError):
            await pair.frontend.connected()
        assert "'none' is no MAC address" in (pair.backend.last_error or "")

    run(body, connect=False)
    assert "Traceback" not in caplog.text


def test_it_describes_itself() -> None:
    async def body(pair: VnifPair) -> None:
        line = pair.backend.describe()
        assert "1 queue" in line
        assert "rate 62500 bytes in 50000 us" in line
        status = pair.backend.status()
        assert status["mac"] == "00:16:3e:00:01:00"
        assert status["carrier"] is True
        assert status["stalled"] is False
        assert "HairpinUplink" in status["uplink"]
        assert "tx_packets" in status["counters"]

    run(body, rate="10Mb/s")
