"""Guests' disk drivers: what each writes, and that blocks pass with what it negotiates."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.frontends.vbd.operations import Operation, read, write
from pvdrivers.ring.abi import Abi
from pvdrivers.testing.loopback import MODES
from pvdrivers.testing.vbd.dialects import (
    IA64_FRONTEND,
    LINUX_FRONTEND,
    PROFILES,
    WINDOWS_FRONTEND,
    FrontendDialect,
)
from pvdrivers.testing.vbd.emulated import DialectFrontend
from pvdrivers.testing.vbd.loopback import VbdLoopback

STORE = partial(RamStore, 1 << 22)


def block(sectors: int, salt: int) -> bytes:
    return b"".join((i * 2654435761 + salt).to_bytes(8, "little") * 64 for i in range(sectors))


async def exercise(frontend: Any) -> None:
    """Of one sector, at any place in a page, and of more than one request takes."""
    await frontend.connected()
    operations: list[Operation] = []
    for sector, count in ((1, 1), (3, 7), (100, 33), (1024, 1500)):
        operations.append(write(sector, block(count, sector)))
    assert not any(done.status for done in await frontend.submit(operations))
    done = await frontend.submit([read(each.sector, each.count) for each in operations])
    assert [each.data for each in done] == [each.data for each in operations]


async def keys_of(loopback: VbdLoopback) -> dict[str, str]:
    path = loopback.config.frontend_path
    names = await loopback.toolstack.directory(path)
    return {name: await loopback.toolstack.read_str(f"{path}/{name}") for name in names}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("mode", MODES)
def test_blocks_pass(profile: FrontendDialect, mode: str) -> None:
    with VbdLoopback(STORE, mode=mode, seed=1, profile=profile) as loopback:
        loopback.run(exercise)
        assert loopback.guest.hypervisor.abi is profile.abi
        assert loopback.run(lambda _: loopback.unplug())  # Linux' closes for nobody else


@pytest.mark.parametrize("abi", Abi)
def test_an_abi_that_is_not_usual(abi: Abi) -> None:
    with VbdLoopback(STORE, profile=LINUX_FRONTEND, abi=abi) as loopback:
        loopback.run(exercise)
        assert loopback.run(lambda _: loopback.unplug())
        assert loopback.guest.hypervisor.abi is abi


def test_windows_grants_each_request_and_says_that_it_has_one_queue() -> None:
    async def scenario(frontend: Any) -> None:
        await exercise(frontend)
        keys = await keys_of(loopback)
        assert keys["multi-queue-num-queues"] == "1"
        assert keys["ring-page-order"] == "4"
        assert keys["protocol"] == "x86_64-abi"
        assert (keys["feature-surprise-remove"], keys["feature-online-resize"]) == ("1", "1")
        assert "feature-persistent" not in keys
        assert "persistent" not in loopback.backend.describe()
        agreement = frontend.agreement
        assert agreement.layout.max_indirect_segments == 256  # of the backend
        statistics = frontend.statistics()
        assert statistics["grants_ended"] > 380  # the pages of what was written and read

    with VbdLoopback(STORE, profile=WINDOWS_FRONTEND) as loopback:
        loopback.run(scenario)


def test_windows_has_a_queue_for_each_processor() -> None:
    async def scenario(frontend: Any) -> None:
        await exercise(frontend)
        keys = await keys_of(loopback)
        assert keys["multi-queue-num-queues"] == "4"
        assert "queue-3" in keys

    frontend = partial(DialectFrontend, dialect=WINDOWS_FRONTEND, processors=4)
    options = VbdBackendOptions(max_queues=8)
    with VbdLoopback(STORE, frontend=frontend, backend_options=options) as loopback:
        loopback.run(scenario)


def test_an_ia64_guest_of_its_time_knows_what_there_was() -> None:
    async def scenario(frontend: Any) -> None:
        await exercise(frontend)
        keys = await keys_of(loopback)
        assert keys["protocol"] == "ia64-abi"
        assert "ring-ref" in keys
        assert not {"ring-page-order", "feature-persistent", "multi-queue-num-queues"} & set(keys)
        agreement = frontend.agreement
        assert agreement.layout.max_indirect_segments == 0
        used = [
            name
            for name in ("flush", "barrier", "discard", "persistent")
            if getattr(agreement, name)
        ]
        assert used == ["barrier"]

    with VbdLoopback(STORE, profile=IA64_FRONTEND) as loopback:
        assert loopback.guest.hypervisor.page_size == Abi.IA64.page_size
        loopback.run(scenario)
