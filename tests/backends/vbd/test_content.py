"""A real ext4 file system goes through the ring; e2fsck and debugfs judge what came out."""

import os
import random
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.stores.store import FileStore
from pvdrivers.frontends.vbd.operations import read, write
from pvdrivers.ring.abi import Abi
from pvdrivers.testing.vbd.loopback import VbdLoopback

SIZE = 16 << 20
CHUNK = 256  # sectors an operation moves

for program in ("mke2fs", "e2fsck", "debugfs"):
    if shutil.which(program, path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin") is None:
        pytest.skip(f"needs {program} (Debian package e2fsprogs)", allow_module_level=True)


def run(*command: object) -> str:
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/sbin:/usr/sbin"}
    words = list(map(str, command))
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An ext4 image with files of many sizes in it."""
    rng = random.Random(4)
    folder = tmp_path / "content"
    for index in range(40):
        path = folder / f"d{index % 5}" / f"file{index}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.choice([0, 1, 511, 4096, 70_000, 300_000])))
    path = tmp_path / "image"
    path.touch()
    os.truncate(path, SIZE)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-d", folder, path)
    return path


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
def test_file_system_survives_the_ring(abi: Abi, image: Path, tmp_path: Path) -> None:
    content = image.read_bytes()
    with VbdLoopback(partial(FileStore, str(image)), abi=abi, writable=False) as loopback:
        assert loopback.run(read_all) == content

    copy = tmp_path / "copy"
    copy.touch()
    os.truncate(copy, SIZE)
    with VbdLoopback(partial(FileStore, str(copy)), abi=abi) as loopback:
        loopback.run(lambda frontend: write_all(frontend, content))
        assert loopback.run(read_all) == content
    assert copy.read_bytes() == content
    run("e2fsck", "-f", "-n", copy)
    for index in (3, 17, 39):
        dumped = tmp_path / "dumped"
        inside = f"/d{index % 5}/file{index}"
        run("debugfs", "-R", f"dump {inside} {dumped}", copy)
        assert dumped.read_bytes() == (tmp_path / "content" / inside[1:]).read_bytes()
