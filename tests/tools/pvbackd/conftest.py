"""What the daemon's tests share: a disk served by a pvbackd of its own."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.testing.loopback import Loopback

PVBACKD = (sys.executable, "-m", "pvdrivers.tools.pvbackd")
SIZE = 1 << 20


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
                **{"kind": "standalone", "params": str(image)} | disk,
            )
            return stack.enter_context(loopback)

        yield make
