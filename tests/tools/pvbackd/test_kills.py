"""The daemon is killed in the middle of verified I/O, again and again.

With a state directory the guest never notices. Without one the frontend has to issue its requests
again, and no write that was acknowledged is lost.
"""

import asyncio
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.testing.vbd.loopback import VbdLoopback

pytestmark = pytest.mark.slow

REGION = 64  # sectors that a writer has for itself
WRITERS = 8
PATIENCE = 60.0  # seconds in which a restarted daemon must have answered something


class Writer:
    """Writes a region of the disk over and over, and checks that it holds what was written."""

    def __init__(self, frontend: Any, first: int, seed: int) -> None:
        self.frontend = frontend
        self.first = first
        self.random = random.Random(seed)
        self.acknowledged = bytes(REGION * 512)
        self.rounds = 0
        self.stopping = False

    async def run(self) -> None:
        while not self.stopping:
            await self.write_some()
            start = self.random.randrange(REGION)
            count = self.random.randrange(1, REGION - start + 1)
            data = await self.frontend.read(self.first + start, count)
            assert data == self.acknowledged[start * 512 : (start + count) * 512]
            self.rounds += 1

    async def write_some(self) -> None:
        start = self.random.randrange(REGION)
        count = self.random.randrange(1, min(24, REGION - start) + 1)
        data = self.random.randbytes(count * 512)
        await self.frontend.write(self.first + start, data)
        before, after = self.acknowledged[: start * 512], self.acknowledged[(start + count) * 512 :]
        self.acknowledged = before + data + after
        if self.random.random() < 0.1:
            await self.frontend.flush()


async def progress(writers: list[Writer], tasks: list[asyncio.Task[None]]) -> None:
    """Until a round was done on the present daemon; raises what a writer has found."""
    before = sum(writer.rounds for writer in writers)
    async with asyncio.timeout(PATIENCE):
        while sum(writer.rounds for writer in writers) < before + WRITERS:
            await asyncio.sleep(0.001)
            for task in tasks:
                if task.done():
                    task.result()


async def kill_often(loopback: VbdLoopback, frontend: Any, kills: int, seed: int) -> list[bytes]:
    """Returns what the regions must hold."""
    chance = random.Random(seed)
    writers = [Writer(frontend, i * REGION, chance.randrange(1 << 32)) for i in range(WRITERS)]
    tasks = [asyncio.ensure_future(writer.run()) for writer in writers]
    for _ in range(kills):
        if chance.random() < 0.75:  # under I/O
            await progress(writers, tasks)
            await asyncio.sleep(chance.random() * 0.01)
        else:  # while it starts or connects
            await asyncio.sleep(chance.random() * 0.5)
        loopback.kill_backend()
        loopback.restart_backend()
    await progress(writers, tasks)
    for writer in writers:
        writer.stopping = True
    await asyncio.gather(*tasks)
    await frontend.flush()
    return [writer.acknowledged for writer in writers]


STORES = {"default": "", "direct": '[[disk]]\nstore = {kind = "file", direct = true}\n'}


@pytest.mark.parametrize(
    ("logged", "store"), [(True, "default"), (False, "default"), (True, "direct")]
)
def test_no_acknowledged_write_is_lost(
    pvbackd_disk: Callable[..., VbdLoopback],
    image: Path,
    tmp_path: Path,
    pv_seed: int,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
    logged: bool,
    store: str,
) -> None:
    kills = request.config.getoption("--kills") // (1 if logged and store == "default" else 2)
    config = tmp_path / "pvbackd.toml"
    config.write_text("[log]\nburst = 1_000_000\n" + STORES[store])
    state = ["--state-directory", tmp_path / "state"] if logged else []
    loopback = pvbackd_disk("--config", config, *state)

    async def scenario(frontend: Any) -> list[bytes]:
        await frontend.connected()
        queues, changes = frontend.queues, []

        async def look(end: str) -> None:
            async with await loopback.toolstack.watch(f"{end}/state") as watch:
                async for _ in watch:
                    changes.append(end)

        ends = (loopback.config.backend_path, frontend.path)
        looks = [asyncio.ensure_future(look(end)) for end in ends]
        contents = await kill_often(loopback, frontend, kills, pv_seed)
        for task in looks:
            task.cancel()
        assert (sorted(changes) == sorted(ends)) is logged  # each watch fires once by itself
        if logged:  # new ones may lie where the old ones lay
            assert frontend.queues == queues
        assert (frontend.reissued == 0) is logged
        return contents

    contents, whole = loopback.run(scenario), image.read_bytes()
    for index, content in enumerate(contents):
        assert whole[index * len(content) : (index + 1) * len(content)] == content
    resumed = re.findall(r"taken up, (\d+) requests", capfd.readouterr().err)
    # That some are is for test_daemon.py, where they are held in flight; here it is up to chance.
    assert logged or not any(map(int, resumed))
    again = f"{sum(map(int, resumed))} requests resumed in {len(resumed)} lives"
    with capfd.disabled():
        print(f"{kills} kills, {again}", end=" ")
