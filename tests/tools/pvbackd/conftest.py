"""What the daemon's tests share: a disk served by a pvbackd of its own."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.testing.loopback import Loopback
from pvdrivers.tools.pvbackd.control import ask

PVBACKD = (sys.executable, "-m", "pvdrivers.tools.pvbackd")
SIZE = 1 << 20
PATIENCE = 60.0  # seconds


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.touch()
    with path.open("r+b") as file:
        file.truncate(SIZE)
    return path


@pytest.fixture
def pvbackd_disk(image: Path) -> Iterator[Callable[..., Loopback]]:
    """Makes a guest whose disk is `image`, with a daemon that has these further options."""
    with ExitStack() as stack:

        def make(*options: object, **disk: Any) -> Loopback:
            loopback = Loopback(
                None,
                mode="processes",
                daemon=[*PVBACKD, *map(str, options)],
                **{"kind": "phy", "params": str(image)} | disk,
            )
            return stack.enter_context(loopback)

        yield make


@pytest.fixture
def status(tmp_path: Path) -> Callable[[], Awaitable[list[str]]]:
    """The lines of the daemon whose control socket is tmp_path/control, once it has one."""

    async def lines() -> list[str]:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return (await ask(str(tmp_path / "control"), "status")).splitlines()
                except OSError:
                    await asyncio.sleep(0.01)

    return lines


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - it is another process's doing
            await asyncio.sleep(0.01)
