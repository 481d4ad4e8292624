"""Guests' drivers: what each writes, and that packets pass with what it negotiates."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pvdrivers.backends.uplinks.uplink import HairpinUplink
from pvdrivers.frontends.vnif.control import IPV4_TCP
from pvdrivers.ring.abi import Abi
from pvdrivers.testing.vnif.frames import frame, tcp
from pvdrivers.testing.vnif.loopback import VnifLoopback
from pvdrivers.testing.vnif.profiles import IA64, LINUX, PROFILES, WINDOWS, Profile

FOUR_QUEUES = partial(HairpinUplink, 4)


async def echo(frontend: Any) -> None:
    await frontend.connected()
    sent = [frame(n, 60 + 100 * n) for n in range(20)]
    sent += [tcp(bytes(4000), flow=n, blank=True, segment=1000) for n in range(10)]
    await frontend.send(sent)
    came: list[bytes] = []
    while len(came) < len(sent):
        came += [packet.data for packet in await frontend.receive()]
    assert len(came) == len(sent)


async def keys_of(loopback: VnifLoopback) -> dict[str, str]:
    path = loopback.config.frontend_path
    names = await loopback.toolstack.directory(path)
    return {name: await loopback.toolstack.read_str(f"{path}/{name}") for name in names}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("mode", ["loop", "deterministic"])
def test_packets_pass(profile: Profile, mode: str) -> None:
    with VnifLoopback(FOUR_QUEUES, mode=mode, seed=1, profile=profile) as loopback:
        loopback.run(echo)
        assert loopback.guest.hypervisor.abi is profile.abi


def test_linux_writes_what_netfront_writes() -> None:
    async def scenario(frontend: Any) -> None:
        await echo(frontend)
        keys = await keys_of(loopback)
        assert {key: value for key, value in keys.items() if key.startswith(("fe", "re"))} == {
            "request-rx-copy": "1",
            "feature-rx-notify": "1",
            "feature-sg": "1",
            "feature-gso-tcpv4": "1",
            "feature-gso-tcpv6": "1",
            "feature-ipv6-csum-offload": "1",
        }
        assert keys["multi-queue-num-queues"] == "4"
        assert "ctrl-ring-ref" not in keys
        assert "protocol" not in keys
        assert "event-channel" not in keys

    with VnifLoopback(FOUR_QUEUES, profile=LINUX) as loopback:
        loopback.run(scenario)


def test_windows_spreads_its_load_and_tells_its_addresses() -> None:
    async def scenario(frontend: Any) -> None:
        await echo(frontend)
        keys = await keys_of(loopback)
        assert keys["request-multicast-control"] == "1"
        assert {"ctrl-ring-ref", "event-channel-ctrl"} <= set(keys)
        home = f"/local/domain/{loopback.config.frontend_domid}/attr/vif/0"
        assert await loopback.toolstack.read_str(f"{home}/ipv4/0") == "10.0.0.2"
        assert loopback.backend.statistics()["control_requests"] >= 5
        packet = tcp(bytes(100))
        await frontend.send([packet])
        (came,) = await frontend.receive()
        assert 1 << came.hash_type == IPV4_TCP

    with VnifLoopback(FOUR_QUEUES, profile=WINDOWS) as loopback:
        loopback.run(scenario)


def test_an_ia64_guest_of_its_time_has_large_pages_and_says_so_nowhere() -> None:
    async def scenario(frontend: Any) -> None:
        await echo(frontend)
        keys = await keys_of(loopback)
        assert "protocol" not in keys
        assert "event-channel" in keys
        assert "multi-queue-num-queues" not in keys
        packet = tcp(bytes(100), version=6)  # which it has no offloads for
        await frontend.send([packet])
        assert [each.data for each in await frontend.receive()] == [packet.data]

    with VnifLoopback(FOUR_QUEUES, profile=IA64) as loopback:
        assert loopback.guest.hypervisor.page_size == Abi.IA64.page_size
        loopback.run(scenario)
