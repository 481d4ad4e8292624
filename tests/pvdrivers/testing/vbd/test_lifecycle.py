"""What befalls a disk under I/O, by seed: resume, resize, unplugging both ways, plugging again.

Whatever the order of events, a write that was acknowledged is there afterwards, and the backend's
domain has given back every grant it mapped.
"""

import asyncio
from functools import partial
from typing import Any

import pytest

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.testing.vbd.loopback import VbdLoopback
from tests.until import until

SECTORS = 2048
BLOCKS = 64  # of 8 sectors, each written by one task only
LIVES = 3


class Writers:
    """Tasks that write block after block, and a model of what has been acknowledged."""

    def __init__(self, frontend: Any) -> None:
        self.frontend = frontend
        self.acknowledged: dict[int, bytes] = {}
        self.stop = False
        self.tasks = [asyncio.create_task(self._write(first)) for first in range(4)]

    async def _write(self, first: int) -> None:
        round_number = 0
        while not self.stop:
            round_number += 1
            for block in range(first, BLOCKS, 4):
                content = bytes([round_number % 256, block]) * 2048
                await self.frontend.write(block * 8, content)
                self.acknowledged[block] = content

    async def finish(self) -> None:
        self.stop = True
        await asyncio.gather(*self.tasks)
        assert self.acknowledged
        for block, content in self.acknowledged.items():
            assert await self.frontend.read(block * 8, 8) == content


async def resumed(loopback: VbdLoopback, frontend: Any) -> None:
    await frontend.connected()
    writers = Writers(frontend)
    for _ in range(LIVES):
        await asyncio.sleep(0.01)
        frontend.resume()
        await asyncio.sleep(0.01)
        await frontend.read(0, 8)
    await writers.finish()


async def resized(loopback: VbdLoopback, frontend: Any) -> None:
    await frontend.connected()
    seen: list[int] = []
    frontend.on_resize = lambda info: seen.append(info.sectors)
    writers = Writers(frontend)
    for sectors in (1024, 512, SECTORS):
        loopback.backend.resize(sectors)
        await until(lambda sectors=sectors: seen and seen[-1] == sectors)  # type: ignore[misc]
    assert seen == [1024, 512, SECTORS]
    await writers.finish()
    assert await frontend.read(SECTORS - 8, 8) == bytes(4096)


async def unplugged(loopback: VbdLoopback, frontend: Any) -> None:
    for _ in range(LIVES):
        await frontend.connected()
        writers = Writers(frontend)
        await asyncio.sleep(0.01)
        await writers.finish()
        assert await loopback.unplug()
        await loopback.plug()
        frontend = await loopback.next_frontend(frontend)
        await frontend.connected()
        for block, content in writers.acknowledged.items():
            assert await frontend.read(block * 8, 8) == content


async def torn_out(loopback: VbdLoopback, frontend: Any) -> None:
    for _ in range(LIVES):
        await frontend.connected()
        writers = Writers(frontend)
        await asyncio.sleep(0.01)
        await loopback.unplug_forced()
        # What was not acknowledged fails; nothing hangs.
        results = await asyncio.gather(*writers.tasks, return_exceptions=True)
        assert all(isinstance(result, (OSError, ValueError)) for result in results), results
        await loopback.plug()
        frontend = await loopback.next_frontend(frontend)
        await frontend.connected()
        for block, content in writers.acknowledged.items():
            found = await frontend.read(block * 8, 8)
            # The write after the last acknowledged one may have reached the disk as well.
            after = bytes([(content[0] + 1) % 256, block]) * 2048
            assert found in (content, after)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("life", [resumed, resized, unplugged, torn_out])
def test_under_every_seed(life: Any, persistent: bool, seed: int) -> None:
    options = VbdBackendOptions(persistent=persistent)
    with VbdLoopback(
        partial(RamStore, SECTORS * 512), mode="deterministic", seed=seed, backend_options=options
    ) as loopback:
        loopback.run(lambda frontend: life(loopback, frontend))
        loopback.run(lambda _: loopback.unplug())
        accounts = loopback.dom0.accounts
        assert accounts["grants_mapped"] == accounts["grants_unmapped"] > 0
