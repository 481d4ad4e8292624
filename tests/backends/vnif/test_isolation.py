"""What one guest does costs another nothing that can be counted: the other's packets, in mode
deterministic, and memory. Its neighbour floods it, reads nothing, and storms events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from pvdrivers._core import lib
from pvdrivers.backends.uplinks.switch import Switch
from pvdrivers.backends.uplinks.uplink import HairpinUplink
from pvdrivers.ring.errors import UsageError
from pvdrivers.testing.vnif.frames import frame
from pvdrivers.testing.vnif.loopback import VnifLoopback
from pvdrivers.vnif.packet import packet_pool

PACKETS = 2000  # that the good guest echoes
MEMORY = 24 << 20  # bytes: a mailbox, a switch's port or a filter's lane keeps 8 MiB at most

Bad = Callable[[Any], Awaitable[None]]


def stop_reading(frontend: Any) -> None:
    """It looks at no ring any more, and posts no buffers."""
    for queue in frontend.packet_queues:
        queue.poll = lambda budget: 0
        queue.arm = lambda: False


async def reads_nothing(frontend: Any) -> None:
    """Its own packets come back."""
    stop_reading(frontend)
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                await frontend.send([frame(number, 8000) for number in range(8)])


async def storms_events(frontend: Any) -> None:
    while True:
        for queue in frontend.queues:
            for port in {queue.port, queue.second_port} - {0}:
                frontend.channels.notify(port)
        await asyncio.sleep(0)


async def storms_control(frontend: Any) -> None:
    while True:
        control = frontend._control
        asked = [control.ask(kind, (0xFFFFFFFF,) * 3) for kind in range(200)]
        await asyncio.gather(*asked, return_exceptions=True)


async def storms_multicast(frontend: Any) -> None:
    number = 0
    while True:
        number += 1
        address = bytes.fromhex(f"01005e{number % 0x7F0000:06x}")
        await frontend.join(":".join(f"{byte:02x}" for byte in address))


BAD = [reads_nothing, storms_events, storms_control, storms_multicast]


async def echo(frontend: Any) -> dict[str, int]:
    """What it costs the guest and its backend to have all packets come back."""
    sent = [frame(number, 60 + 4 * (number % 300)) for number in range(PACKETS)]
    for at in range(0, PACKETS, 50):
        await frontend.send(sent[at : at + 50])
        came: list[bytes] = []
        while len(came) < 50:
            came += [packet.data for packet in await frontend.receive()]
        assert came == sent[at : at + 50]
    return frontend.statistics()


@pytest.mark.parametrize("bad", BAD)
def test_a_neighbour(bad: Bad) -> None:
    async def scenario(good: Any) -> None:
        await good.connected()
        guest = await loopback.add_guest()
        neighbour = await guest.frontend()
        await neighbour.connected()
        storm = asyncio.create_task(bad(neighbour))
        statistics = await echo(good)
        assert not storm.done(), storm
        assert guest.domain.accounts["evtchn_send"] > 20  # it has done something
        storm.cancel()
        with suppress(asyncio.CancelledError, UsageError, OSError):
            await storm
        assert statistics["rx_packets"] == statistics["tx_packets"] == PACKETS
        assert statistics["rx_dropped"] == statistics["tx_errors"] == 0
        backend = loopback.backend.statistics()
        assert backend["rx_dropped"] == backend["throttled"] == 0
        assert backend["tx_packets"] == PACKETS
        assert lib.pv_packet_pool_memory(packet_pool()) < MEMORY

    with VnifLoopback(HairpinUplink, mode="deterministic", seed=1) as loopback:
        loopback.run(scenario)


def test_a_flood_to_a_guest_that_reads_nothing_stops_nobody_on_the_switch() -> None:
    """Two guests talk past a third one, to which everything is flooded as well."""

    async def scenario(first: Any) -> None:
        second, third = [await (await loopback.add_guest()).frontend() for _ in range(2)]
        await asyncio.gather(*(each.connected() for each in (first, second, third)))
        stop_reading(third)
        for at in range(0, PACKETS, 20):
            sent = [frame(at + number, 8000) for number in range(20)]
            await first.send(sent)
            came: list[bytes] = []
            while len(came) < len(sent):
                came += [packet.data for packet in await second.receive()]
            assert came == sent
        assert lib.pv_packet_pool_memory(packet_pool()) < MEMORY

    with Switch() as switch, VnifLoopback(switch.port, mode="deterministic", seed=1) as loopback:
        loopback.run(scenario)
