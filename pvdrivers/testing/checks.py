"""Checks that every device class should pass under a loopback, ready to be run as tests:

    @pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
    def test_entropy(check: Check) -> None:
        check(ENTROPY, draw_some)

A workload is a coroutine function that uses a frontend and asserts what comes of it. It waits
until the frontend is connected, and may be run again and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from pvdrivers.testing.device_under_test import DeviceUnderTest
from pvdrivers.testing.loopback import MODES, Loopback
from pvdrivers.testing.shared_cpus import SharedCpus

Workload = Callable[[Any], Awaitable[object]]
Check = Callable[[DeviceUnderTest, Workload], None]
LIVES = 3  # how often a device is plugged in, or its backend killed
PATIENCE = 60.0  # seconds of the loop's time for one workload


def works(device: DeviceUnderTest, workload: Workload, *, mode: str = "loop") -> None:
    """The workload in one of the loopback's modes."""
    with Loopback(device, mode=mode) as loopback:
        loopback.run(partial(_use, workload))


def serves_two_guests(device: DeviceUnderTest, workload: Workload) -> None:
    """One backend, two guests at once."""

    async def scenario(frontend: Any) -> None:
        second = await loopback.add_guest()
        both = frontend, await second.frontend()
        await asyncio.gather(*(_use(workload, each) for each in both))

    with Loopback(device) as loopback:
        loopback.run(scenario)


def bears_overcommitment(device: DeviceUnderTest, workload: Workload) -> None:
    """Both halves share one CPU with two neighbours: they do not run when they would like to."""

    async def scenario(frontend: Any) -> None:
        for _ in range(2):
            loopback.add_neighbour()
        await _use(workload, frontend)

    with Loopback(device, mode="deterministic", cpus=SharedCpus(1)) as loopback:
        loopback.run(scenario)


def is_plugged_in_again(
    device: DeviceUnderTest, workload: Workload, *, mode: str = "deterministic"
) -> None:
    """Unplugged in order and plugged in again; the backend gives back all it has mapped."""

    async def scenario(frontend: Any) -> None:
        for _ in range(LIVES):
            await _use(workload, frontend)
            assert await loopback.unplug(), "the device was not closed in time"
            await loopback.plug()
            frontend = await loopback.next_frontend(frontend)
        await _use(workload, frontend)
        assert await loopback.unplug()

    with Loopback(device, mode=mode) as loopback:
        loopback.run(scenario)
        accounts = loopback.dom0.accounts
        assert accounts["grants_mapped"] == accounts["grants_unmapped"]


def is_taken_up(device: DeviceUnderTest, workload: Workload) -> None:
    """The backend's process is killed, and its successor takes the connection up: both ends stay
    Connected, and the frontend is served as before."""

    async def scenario(frontend: Any) -> None:
        for _ in range(LIVES):
            await _use(workload, frontend)
            async with _no_state_changes(loopback):
                loopback.kill_backend()
                loopback.restart_backend()
                await _use(workload, frontend)

    with Loopback(device, mode="processes") as loopback:
        loopback.run(scenario)


CHECKS: dict[str, Check] = {
    **{mode: partial(works, mode=mode) for mode in MODES},
    "two guests": serves_two_guests,
    "overcommitted": bears_overcommitment,
    "plugged in again": is_plugged_in_again,
    "killed and taken up": is_taken_up,
}


async def _use(workload: Workload, frontend: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        await workload(frontend)


@asynccontextmanager
async def _no_state_changes(loopback: Loopback) -> AsyncIterator[None]:
    """Neither end writes its state meanwhile."""
    config = loopback.config
    states = [f"{path}/state" for path in (config.frontend_path, config.backend_path)]
    changes: list[str] = []
    for state in states:
        await loopback.toolstack.watch(state, on_event=partial(changes.append, state))
    before = await loopback.toolstack.read_present(states)
    changes.clear()  # a watch fires once when it is set
    yield
    after = await loopback.toolstack.read_present(states)
    assert after == before
    assert not changes, f"written meanwhile: {', '.join(changes)}"
