"""One disk never answers: the thread that serves it serves the others, and can release it."""

import asyncio
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.stores.store import Engine, FileStore
from pvdrivers.poll.threads import PollThreads
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain, Machine
from pvdrivers.testing.vbd.pair import VbdPair

IMAGE = 4 << 20  # bytes
DEPTH = 500  # requests that a ring holds, nearly
ROUNDS = 5


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Serves a file whose reads and writes are never answered."""
    compiler, pkg_config = shutil.which("cc"), shutil.which("pkg-config")
    found = pkg_config and subprocess.run(
        [pkg_config, "--cflags", "--libs", "fuse3"], capture_output=True, text=True
    )
    if not compiler or not found or found.returncode:
        pytest.skip("needs a C compiler and FUSE (Debian packages gcc, pkg-config, libfuse3-dev)")
    if os.getuid() or not os.access("/dev/fuse", os.W_OK):
        pytest.skip("needs /dev/fuse, and root to mount with")
    made = tmp_path_factory.mktemp("fuse") / "stuck_file"
    source = Path(__file__).with_name("stuck_file.c")
    words = [compiler, "-Wall", "-Wextra", "-Werror", source, "-o", made, *found.stdout.split()]
    subprocess.run(words, check=True)
    return made


@pytest.fixture
def stuck(program: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """What waits for the file fails when this process is killed."""
    folder = tmp_path / "stuck"
    folder.mkdir()
    with subprocess.Popen([program, folder], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "mounted\n"
            yield process
        finally:
            process.kill()
            process.wait()
            subprocess.run(["umount", folder], check=False)


@pytest.fixture
def healthy(tmp_path: Path) -> Iterator[FileStore]:
    image = tmp_path / "image"
    image.write_bytes(bytes(IMAGE))
    with FileStore(image) as store:
        yield store


def test_io_uring_is_used_where_it_never_blocks(
    stuck: subprocess.Popen[str], tmp_path: Path
) -> None:
    """FUSE waits where it has been asked not to."""
    path = tmp_path / "stuck" / "disk"
    with FileStore(path) as store:
        assert store.engine == "threads"
    with pytest.raises(UsageError, match=r"disk: io_uring .* may wait"):
        FileStore(path, engine="io_uring")


async def verify(disk: VbdPair, seed: int) -> None:
    """Writes, flushes and reads again, many at once."""
    chance = random.Random(seed)
    blocks = {sector: chance.randbytes(4096) for sector in range(0, IMAGE // 512, 64)}
    await asyncio.gather(*(disk.frontend.write(at, data) for at, data in blocks.items()))
    await disk.frontend.flush()
    read = await asyncio.gather(*(disk.frontend.read(at, 8) for at in blocks))
    assert read == list(blocks.values())


@contextmanager
def machine() -> Iterator[tuple[Domain, Domain, Domain]]:
    with Machine(256 << 20) as machine:
        dom0 = machine.create_domain(privileged=True)
        yield dom0, machine.create_domain(), machine.create_domain()


@contextmanager
def path_of(kind: str, file: Path) -> Iterator[Path]:
    """The file itself, or a loop device on it."""
    if kind == "file":
        yield file
        return
    words = ["losetup", "--find", "--show", file]
    device = Path(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


async def ask(disk: VbdPair, operation: str) -> list[asyncio.Future[Any]]:
    """Much that will not be answered; returns when the backend has taken it all."""
    sectors = range(1024, 1024 + DEPTH * 64, 64)
    count = DEPTH
    if operation == "read":
        asked = [asyncio.ensure_future(disk.frontend.read(sector, 8)) for sector in sectors]
    else:
        data = bytes(4096)
        asked = [asyncio.ensure_future(disk.frontend.write(sector, data)) for sector in sectors]
    if operation == "flush":
        await asyncio.gather(*asked)  # the page cache has them
        asked = [asyncio.ensure_future(disk.frontend.flush())]
        count += 1
    await disk.wait(lambda: disk.backend.statistics()["requests"] == count)
    return asked


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "engine", "direct", "operation"),
    [
        ("file", "threads", False, "read"),
        ("file", "threads", False, "write"),
        ("file", "threads", True, "write"),
        ("block device", "threads", True, "read"),
        ("block device", "io_uring", False, "read"),
        ("block device", "io_uring", False, "flush"),
        ("block device", "io_uring", True, "read"),
        ("block device", "io_uring", True, "write"),
    ],
)
def test_others_are_served(
    stuck: subprocess.Popen[str],
    healthy: FileStore,
    tmp_path: Path,
    kind: str,
    engine: Engine,
    direct: bool,
    operation: str,
) -> None:
    async def serve(threads: PollThreads, dom0: Domain, one: Domain, other: Domain) -> None:
        connect = partial(VbdPair, dom0.hypervisor, driver=threads)
        async with (
            connect(one.hypervisor, store, connect=False) as hung,
            connect(other.hypervisor, healthy, xenstore=hung.xenstore) as disk,
        ):
            hung.backend.start()
            hung.frontend.start()
            await hung.frontend.connected()
            asked = await ask(hung, operation)
            for seed in range(ROUNDS):
                await verify(disk, seed)
                await asyncio.to_thread(threads.check)  # as the watchdog does
            assert not any(request.done() for request in asked)

            # It is released in bounded time; its operations are waited for in the background.
            await hung.backend.abort(patience=0.1)
            assert not hung.backend.finished
            await verify(disk, ROUNDS)
            await asyncio.to_thread(threads.check)
            stuck.kill()
            await hung.wait(lambda: hung.backend.finished)
            for request in asked:
                request.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            await verify(disk, ROUNDS + 1)

    with (
        path_of(kind, tmp_path / "stuck" / "disk") as path,
        FileStore(path, engine=engine, direct=direct) as store,
        PollThreads(1) as threads,
        machine() as domains,
    ):
        try:
            asyncio.run(asyncio.wait_for(serve(threads, *domains), 120))
        finally:
            stuck.kill()  # or closing the store would wait
