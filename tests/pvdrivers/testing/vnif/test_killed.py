"""A backend that is killed with packets in flight, again and again: the guest notices a pause."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from pvdrivers.backends.uplinks.uplink import HairpinUplink
from pvdrivers.frontends.vnif.device import VnifFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.ring.abi import Abi
from pvdrivers.testing.vnif.frames import ethernet, frame
from pvdrivers.testing.vnif.loopback import VnifLoopback
from pvdrivers.vnif.features import FrontendFeatures
from pvdrivers.xenstore.client import XenstoreClient

FOUR_QUEUES = partial(HairpinUplink, 4)
LIVES = 3


def several_queues(client: XenstoreClient, path: str, hypervisor: Hypervisor) -> VnifFrontend:
    features = FrontendFeatures(max_queues=2, multicast_control=True)
    return VnifFrontend(client, path, hypervisor, features)


async def sender(frontend: Any, sent: list[int]) -> None:
    """Sends packets of growing numbers and of all lengths, for ever."""
    while True:
        number = len(sent)
        sent.append(number)
        await frontend.send([frame(number, 60 + number * 677 % 9000 // 4 * 4)])
        await asyncio.sleep(0)


async def receiver(frontend: Any, came: list[int]) -> None:
    while True:
        for packet in await frontend.receive():
            number = int.from_bytes(packet.data[14:18], "big")
            assert packet.data == frame(number, 60 + number * 677 % 9000 // 4 * 4)
            came.append(number)


@pytest.mark.slow
@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.IA64])
def test_killed_under_traffic(abi: Abi) -> None:
    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        sent: list[int] = []
        came: list[int] = []
        tasks = [
            asyncio.create_task(sender(frontend, sent)),
            asyncio.create_task(receiver(frontend, came)),
        ]
        for _ in range(LIVES):
            before = len(came)
            while len(came) < before + 500:
                await asyncio.sleep(0.01)
                for task in tasks:
                    assert not task.done(), task
            loopback.kill_backend()
            loopback.restart_backend()
        before = len(came)
        while len(came) < before + 500:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await frontend.flush()
        statistics = frontend.statistics()
        assert statistics["tx_errors"] == 0
        assert statistics["violations"] == 0
        assert statistics["rx_dropped"] == 0
        assert frontend.reissued == 0
        assert frontend.broken_rings == 0

    options = {"frontend": several_queues, "abi": abi}
    with VnifLoopback(FOUR_QUEUES, mode="processes", **options) as loopback:
        loopback.run(scenario)


@pytest.mark.slow
def test_a_successor_filters_by_the_groups_that_its_predecessor_was_told() -> None:
    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        left, joined = (
            ethernet(b"x" * 50, destination=bytes.fromhex(group))
            for group in ("01005e0000fa", "01005e0000fb")
        )
        await frontend.join("01:00:5e:00:00:fa")
        await frontend.join("01:00:5e:00:00:fb")
        await frontend.leave("01:00:5e:00:00:fa")
        await frontend.flush()
        for _ in range(3):
            await frontend.send([left, joined])
            assert [each.data for each in await frontend.receive()] == [joined]
            loopback.kill_backend()
            loopback.restart_backend()
        await frontend.send([frame(1)])
        assert [each.data for each in await frontend.receive()] == [frame(1)]

    with VnifLoopback(FOUR_QUEUES, mode="processes", frontend=several_queues) as loopback:
        loopback.run(scenario)
