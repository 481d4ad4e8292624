"""What the daemon's tests share: a disk served by a pvbackd of its own."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig
from pvdrivers.testing.scsi.loopback import ScsiLoopback
from pvdrivers.testing.vbd.loopback import VbdLoopback
from pvdrivers.tools.pvbackd.control import ask
from pvdrivers.tools.pvbackd.status import parse

PVBACKD = (sys.executable, "-m", "pvdrivers.tools.pvbackd")
SIZE = 1 << 20
PATIENCE = 60.0  # seconds
Hosts = Callable[..., ScsiLoopback]
Devices = Callable[[], Awaitable[list[dict[str, Any]]]]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.touch()
    with path.open("r+b") as file:
        file.truncate(SIZE)
    return path


@pytest.fixture
def pvbackd_disk(image: Path) -> Iterator[Callable[..., VbdLoopback]]:
    """Makes a guest whose disk is `image`, with a daemon that has these further options."""
    with ExitStack() as stack:

        def make(*options: object, **disk: Any) -> VbdLoopback:
            loopback = VbdLoopback(
                None,
                mode="processes",
                daemon=[*PVBACKD, *map(str, options)],
                **{"kind": "phy", "params": str(image)} | disk,
            )
            return stack.enter_context(loopback)

        yield make


@pytest.fixture
def pvbackd_scsi(tmp_path: Path) -> Iterator[Hosts]:
    """Makes a guest with LUNs of these names, and a daemon with this configuration."""
    config = tmp_path / "pvbackd.toml"
    with ExitStack() as stack:

        def make(text: str, *p_devs: str) -> ScsiLoopback:
            config.write_text(text)
            options = ("--config", config, "--control", tmp_path / "control")
            luns = [LunConfig(name, ScsiAddress(0, 0, 0, n)) for n, name in enumerate(p_devs)]
            daemon = [*PVBACKD, *map(str, options)]
            loopback = ScsiLoopback(None, mode="processes", daemon=daemon, luns=luns)
            return stack.enter_context(loopback)

        yield make


@pytest.fixture
def devices(tmp_path: Path) -> Callable[[], Awaitable[list[dict[str, Any]]]]:
    """What the daemon whose control socket is tmp_path/control tells of its devices, once it has
    one."""

    async def told() -> list[dict[str, Any]]:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return parse(await ask(str(tmp_path / "control"), "status"))
                except OSError:
                    await asyncio.sleep(0.01)

    return told


@pytest.fixture
def status(
    devices: Callable[[], Awaitable[list[dict[str, Any]]]],
) -> Callable[[], Awaitable[list[str]]]:
    """A line for each of them."""

    async def lines() -> list[str]:
        return [device["description"] for device in await devices()]

    return lines


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - it is another process's doing
            await asyncio.sleep(0.01)
