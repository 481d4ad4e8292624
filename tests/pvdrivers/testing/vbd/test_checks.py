"""The disk passes what every device class should."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.stores.store import FileStore
from pvdrivers.testing.checks import CHECKS, Check
from pvdrivers.testing.vbd.loopback import disk_under_test

SIZE = 1 << 20


async def write_and_read(frontend: Any) -> None:
    await frontend.connected()
    for sector in (0, 8, 1024):
        content = sector.to_bytes(4, "little") * 1024
        await frontend.write(sector, content)
        assert await frontend.read(sector, 8) == content


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_checks(check: Check, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(SIZE))
    check(disk_under_test(partial(FileStore, str(image), threads=0)), write_and_read)
