"""A real ext4 file system goes through the ring; e2fsck and debugfs judge what came out."""

import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.stores.store import FileStore
from pvdrivers.frontends.vbd.operations import read, write
from pvdrivers.ring.abi import Abi
from pvdrivers.testing.vbd.loopback import VbdLoopback

from ..ext4 import blank, check_ext4, make_ext4

CHUNK = 256  # sectors an operation moves


async def read_all(frontend: Any) -> bytes:
    info = await frontend.connected()
    batch = [read(sector, CHUNK) for sector in range(0, info.sectors, CHUNK)]
    return b"".join(operation.data for operation in await frontend.submit(batch))


async def write_all(frontend: Any, content: bytes) -> None:
    info = await frontend.connected()
    batch = [
        write(sector, content[sector * 512 : (sector + CHUNK) * 512])
        for sector in range(0, info.sectors, CHUNK)
    ]
    random.Random(5).shuffle(batch)
    for operation in await frontend.submit(batch):
        assert operation.status == 0
    await frontend.flush()


@pytest.mark.slow
@pytest.mark.parametrize("abi", list(Abi))
def test_file_system_survives_the_ring(abi: Abi, tmp_path: Path) -> None:
    image = make_ext4(tmp_path)
    content = image.read_bytes()
    with VbdLoopback(partial(FileStore, str(image)), abi=abi, writable=False) as loopback:
        assert loopback.run(read_all) == content

    copy = blank(tmp_path / "copy")
    with VbdLoopback(partial(FileStore, str(copy)), abi=abi) as loopback:
        loopback.run(lambda frontend: write_all(frontend, content))
        assert loopback.run(read_all) == content
    assert copy.read_bytes() == content
    check_ext4(tmp_path, copy)
