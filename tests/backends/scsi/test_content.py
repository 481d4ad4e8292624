"""A real ext4 file system goes through the ring to a SCSI disk, by CDBs of 10, 12 and 16 bytes;
e2fsck and debugfs judge what came out."""

import asyncio
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.stores.store import FileStore
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.frontends.scsi.command import CommandResult
from pvdrivers.ring.abi import Abi
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.testing.scsi.loopback import ScsiLoopback

from ..ext4 import SIZE, blank, check_ext4, make_ext4

AT = ScsiAddress(0, 0, 0, 0)
BLOCK = 512
CHUNKS = [BlockRange(lba, 256) for lba in range(0, SIZE // BLOCK, 256)]
READS, WRITES = (0x28, 0xA8, 0x88), (0x2A, 0xAA, 0x8A)
SYNCHRONIZE_CACHE = bytes([0x35]).ljust(10, b"\0")


def disk(image: Path) -> Disk:
    return Disk(FileStore(image), Identity.of(image.name))


def cdbs(opcodes: tuple[int, ...]) -> list[bytes]:
    """For each chunk, one opcode after the other."""
    return [chunk.cdb(opcodes[number % len(opcodes)]) for number, chunk in enumerate(CHUNKS)]


async def read_all(frontend: Any) -> bytes:
    await frontend.wait_for_lun(AT)
    commands = [frontend.execute(AT, cdb, room=256 * BLOCK) for cdb in cdbs(READS)]
    results: list[CommandResult] = await asyncio.gather(*commands)
    assert all(result.good for result in results)
    return b"".join(result.data for result in results)


async def write_all(frontend: Any, content: bytes) -> None:
    await frontend.wait_for_lun(AT)
    batch = [
        (cdb, content[chunk.lba * BLOCK :][: 256 * BLOCK])
        for cdb, chunk in zip(cdbs(WRITES), CHUNKS, strict=True)
    ]
    random.Random(5).shuffle(batch)
    commands = [frontend.execute(AT, cdb, data) for cdb, data in batch]
    assert all(result.good for result in await asyncio.gather(*commands))
    assert (await frontend.execute(AT, SYNCHRONIZE_CACHE)).good


@pytest.mark.slow
@pytest.mark.parametrize("abi", list(Abi))
def test_file_system_survives_the_ring(abi: Abi, tmp_path: Path) -> None:
    image = make_ext4(tmp_path)
    content = image.read_bytes()
    with ScsiLoopback({"image": partial(disk, image)}, abi=abi) as loopback:
        assert loopback.run(read_all) == content

    copy = blank(tmp_path / "copy")
    with ScsiLoopback({"copy": partial(disk, copy)}, abi=abi) as loopback:
        loopback.run(lambda frontend: write_all(frontend, content))
        assert loopback.run(read_all) == content
        counters = loopback.backend.statistics()
        assert counters["rd_req"] == counters["wr_req"] == len(CHUNKS)  # none was emulated
    assert copy.read_bytes() == content
    check_ext4(tmp_path, copy)
