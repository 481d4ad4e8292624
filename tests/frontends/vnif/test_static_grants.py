"""Static grants: the backend keeps the frontend's pages mapped, and copies without hypercalls."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from pvdrivers._core import lib
from pvdrivers.backends.uplinks.uplink import HairpinUplink
from pvdrivers.backends.vnif.device import VnifBackendOptions
from pvdrivers.frontends.vnif.control import PAGE
from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.testing.loopback import MODES
from pvdrivers.testing.vnif.frames import frame
from pvdrivers.testing.vnif.loopback import VnifLoopback
from pvdrivers.testing.vnif.pair import VnifPair
from pvdrivers.vnif.features import FrontendFeatures
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient

QUEUES = 2
ALL = QUEUES * 512  # pages of two queues, for both directions
FRAMES = [frame(n, length=200 + n) for n in range(40)] + [frame(41, length=9000)]


def run(
    body: Callable[[VnifPair], Awaitable[None]],
    abi: Abi = Abi.X86_64,
    rx_buffers: int = 0,
    **more: Any,
) -> None:
    async def main() -> None:
        with Machine() as machine, HairpinUplink(QUEUES) as uplink:
            dom0, guest = (
                machine.create_domain(privileged=True),
                machine.create_domain(abi=abi, memory="128M"),
            )
            mapped: list[int] = []

            class Frontend(VnifFrontend):
                async def disconnect(self) -> None:
                    accounts = dom0.accounts
                    if self.packet_queues:
                        mapped.append(accounts["grants_mapped"] - accounts["grants_unmapped"])
                    await super().disconnect()

            def make(*args: Any) -> VnifFrontend:
                frontend = Frontend(*args, FrontendFeatures(max_queues=QUEUES))
                frontend.rx_buffers = rx_buffers
                return frontend

            pair = VnifPair(dom0.hypervisor, guest.hypervisor, uplink, frontend=make, **more)
            async with asyncio.timeout(30), pair:
                await body(pair)
                await pair.frontend.close()
            assert set(mapped) == {0}  # none any more when the frontend takes them back

    asyncio.run(main())


async def echo(frontend: VnifFrontend) -> None:
    await frontend.send(FRAMES)
    came: list[bytes] = []
    while len(came) < len(FRAMES):
        came += [packet.data for packet in await frontend.receive()]
    assert sorted(came) == sorted(FRAMES)


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.IA64])
def test_no_grant_is_copied_any_more(abi: Abi) -> None:
    async def body(pair: VnifPair) -> None:
        await echo(pair.frontend)
        before = pair.backend.statistics()
        assert before["grant_copies"] > 0 == before["static_copies"]
        assert await pair.frontend.use_static_grants() == ALL
        await echo(pair.frontend)
        after = pair.backend.statistics()
        assert after["grant_copies"] == before["grant_copies"]
        assert after["static_copies"] >= 2 * len(FRAMES)
        assert after["bytes_copied"] == 2 * before["bytes_copied"]

    run(body, abi)


def test_fewer_rx_buffers() -> None:
    async def body(pair: VnifPair) -> None:
        assert await pair.frontend.use_static_grants() == QUEUES * (256 + 64)
        await echo(pair.frontend)
        assert pair.backend.statistics()["grant_copies"] == 0

    run(body, rx_buffers=64)


def test_the_guest_may_take_one_back() -> None:
    async def body(pair: VnifPair) -> None:
        await pair.frontend.use_static_grants()
        control = pair.frontend._control
        add = partial(control.ask, lib.XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING)
        delete = partial(control.ask, lib.XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING)
        for queue in pair.frontend.packet_queues:
            entries = queue.list_grants(3)
            assert await delete((queue.index, PAGE, 3), entries) == 3
            assert await delete((queue.index, PAGE, 3), entries) == 0
            strange = struct.pack("<IHH", 1 << 20, 0, 0)
            with pytest.raises(OSError, match="status 2"):
                await add((queue.index, PAGE, 4), entries + strange)
        await echo(pair.frontend)
        assert pair.backend.statistics()["grant_copies"] > 0

    run(body)


def test_on_the_next_connection_too() -> None:
    async def body(pair: VnifPair) -> None:
        await pair.frontend.use_static_grants()
        await pair.backend.abort()
        pair.new_backend().start()
        await pair.backend.wait_for(XenbusState.CONNECTED)
        await pair.frontend.wait_for(XenbusState.CONNECTED)
        await pair.wait(lambda: pair.backend.statistics()["control_requests"] == 2 * QUEUES)
        await echo(pair.frontend)
        assert pair.backend.statistics()["grant_copies"] == 0

    run(body)


def test_what_is_asked_is_not_for_another_connection() -> None:
    """It has other grants, and has been told nothing of what a request may build on."""

    async def body(pair: VnifPair) -> None:
        queue, control = pair.frontend.packet_queues[0], pair.frontend._control
        entries = queue.list_grants(3)
        add = control.ask(lib.XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, (0, PAGE, 3), entries)
        algorithm = control.ask(lib.XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, (1,))
        adding, setting = asyncio.ensure_future(add), asyncio.ensure_future(algorithm)
        await pair.backend.abort()  # before it has seen either
        pair.new_backend().start()
        for asked in (adding, setting):
            with pytest.raises(ConnectionResetError):
                await asked
        await pair.frontend.connected()
        await pair.backend.wait_for(XenbusState.CONNECTED)
        assert pair.backend.statistics()["control_requests"] == 0

    run(body)


def test_without_a_control_ring() -> None:
    async def body(pair: VnifPair) -> None:
        with pytest.raises(UsageError, match="no control ring"):
            await pair.frontend.use_static_grants()

    run(body, options=VnifBackendOptions(control_ring=False))


def four_queues(client: XenstoreClient, path: str, hypervisor: Hypervisor) -> VnifFrontend:
    return VnifFrontend(client, path, hypervisor, FrontendFeatures(max_queues=4))


@pytest.mark.parametrize("mode", MODES)
def test_each_mode(mode: str) -> None:
    async def scenario(frontend: VnifFrontend) -> None:
        await frontend.connected()
        assert await frontend.use_static_grants() == 4 * 512
        await echo(frontend)

    with VnifLoopback(partial(HairpinUplink, 4), mode=mode, frontend=four_queues) as loopback:
        loopback.run(scenario)


def test_a_successor_copies_what_it_does_not_map() -> None:
    async def begin(frontend: VnifFrontend) -> None:
        await frontend.connected()
        await frontend.use_static_grants()
        await echo(frontend)

    async def go_on(frontend: VnifFrontend) -> None:
        await echo(frontend)
        (queue, *_), control = frontend.packet_queues, frontend._control
        entries = queue.list_grants(256)
        kind = lib.XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING
        assert await control.ask(kind, (0, PAGE, 256), entries) == 256

    uplink = partial(HairpinUplink, 4)
    with VnifLoopback(uplink, mode="processes", frontend=four_queues) as loopback:
        loopback.run(begin)
        loopback.kill_backend()
        loopback.restart_backend()
        loopback.run(go_on)
