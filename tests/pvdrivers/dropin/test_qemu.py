"""QEMU's own xen-block backend serves our frontend, on the drop-in libraries."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pvdrivers._core import lib
from pvdrivers.frontends.vbd.operations import read, write
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.sim import Machine
from pvdrivers.testing.qemu import PROGRAM
from pvdrivers.testing.vbd.qemu import QemuLoopback
from pvdrivers.vbd.features import FrontendFeatures

SECTORS = 8192
SECTOR = 512

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(), reason=f"needs {PROGRAM.name} (Debian package qemu-system-xen)"
)


class Image:
    """The file QEMU serves, read past QEMU."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(SECTORS * SECTOR))

    def content(self, sector: int, count: int) -> bytes:
        with self.path.open("rb") as image:
            image.seek(sector * SECTOR)
            return image.read(count * SECTOR)


def pattern(sectors: int, salt: int = 0) -> bytes:
    return b"".join((i * 2654435761 + salt).to_bytes(8, "little") * 64 for i in range(sectors))


@pytest.fixture
def run(tmp_path: Path):
    """Runs `body` against a disk of QEMU's; nothing of it may be left mapped afterwards."""

    def run(
        body: Callable[[QemuLoopback, Image], Awaitable[None]],
        *,
        abi: Abi = Abi.X86_64,
        features: dict[str, Any] | None = None,
        **disk: Any,
    ) -> None:
        image = Image(tmp_path / "disk.img")
        wanted = FrontendFeatures(protocol=abi.protocol, **(features or {}))

        async def main(machine: Machine, guest: Any) -> None:
            async with (
                asyncio.timeout(60),
                QemuLoopback(machine, guest, image.path, features=wanted, **disk) as loopback,
            ):
                await body(loopback, image)

        with Machine("256M") as machine:
            machine.create_domain(privileged=True)
            guest = machine.create_domain(abi=abi, memory="64M")
            asyncio.run(main(machine, guest))
            assert lib.pv_gnttab_handles(machine.cdata, 0) == 0

    return run


async def exercise(disk: QemuLoopback, image: Image) -> None:
    """Reads, writes, flushes and discards of many sizes, compared with the file."""
    front = disk.frontend
    for sector, count in ((0, 8), (8, 24), (100 * 8, 88), (1024, 256), (4096, 2048)):
        data = pattern(count, sector)
        await front.write(sector, data)
        assert image.content(sector, count) == data
        assert await front.read(sector, count) == data
    await front.flush()
    await front.discard(8, 24)
    assert image.content(8, 24) == bytes(24 * SECTOR)
    assert await front.read(0, 8) == pattern(8)


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.X86_32])
@pytest.mark.parametrize("order", [0, 1, 4])
def test_data(run, abi: Abi, order: int) -> None:
    async def body(disk: QemuLoopback, image: Image) -> None:
        await exercise(disk, image)
        writes = [write(i * 8, pattern(8, i)) for i in range(400)]
        await disk.frontend.submit(writes)
        assert not any(operation.status for operation in writes)
        reads = await disk.frontend.submit([read(i * 8, 8) for i in range(400)])
        assert [operation.data for operation in reads] == [pattern(8, i) for i in range(400)]
        assert image.content(0, 3200) == b"".join(pattern(8, i) for i in range(400))

    run(body, abi=abi, features={"max_ring_page_order": order})


def test_what_it_offers(run) -> None:
    async def body(disk: QemuLoopback, image: Image) -> None:
        agreement, info = disk.frontend.agreement, disk.frontend.info
        assert agreement
        assert info
        assert (info.sectors, info.sector_size) == (SECTORS, SECTOR)
        assert agreement.flush
        assert agreement.discard
        assert not agreement.barrier
        assert not agreement.persistent
        assert not agreement.layout.max_indirect_segments

    run(body)


def test_cdrom(run) -> None:
    async def body(disk: QemuLoopback, image: Image) -> None:
        with pytest.raises(UsageError, match="read-only"):
            await disk.frontend.write(0, bytes(SECTOR))
        assert await disk.frontend.read(0, 8) == bytes(8 * SECTOR)

    run(body, cdrom=True)


def test_a_read_only_disk_is_refused(run) -> None:
    async def body(disk: QemuLoopback, image: Image) -> None:
        raise AssertionError("connected")

    with pytest.raises(PeerError):
        run(body, writable=False)


def test_unplugged_and_plugged_again(run) -> None:
    async def body(disk: QemuLoopback, image: Image) -> None:
        for salt in range(3):
            await disk.frontend.write(salt * 8, pattern(8, salt))
            assert await disk.unplug()
            await disk.frontend.abort()
            assert image.content(salt * 8, 8) == pattern(8, salt)
            await disk.plug()

    run(body)


def test_the_frontend_closes_and_opens_again(run) -> None:
    async def body(disk: QemuLoopback, image: Image) -> None:
        for salt in range(3):
            await disk.frontend.write(salt * 8, pattern(8, salt))
            await disk.frontend.close()
            await disk.open()
            assert await disk.frontend.read(salt * 8, 8) == pattern(8, salt)
        await exercise(disk, image)

    run(body)


@pytest.mark.parametrize("again", ["resumed", "rebooted"])
def test_a_frontend_starts_over_beside_a_connected_qemu(run, again: str) -> None:
    """QEMU looks at no ring before the frontend has been Closing and Closed."""

    async def body(disk: QemuLoopback, image: Image) -> None:
        for salt in range(3):
            writes = [write(i * 8, pattern(8, i + salt)) for i in range(300)]
            if again == "resumed":
                pending = asyncio.create_task(disk.frontend.submit(writes))
                await asyncio.sleep(0.002)
                disk.frontend.resume()
                await pending
            else:
                await disk.frontend.abort()  # no word to the backend
                await disk.open()
                await disk.frontend.submit(writes)
            assert not any(operation.status for operation in writes)
            assert image.content(0, 2400) == b"".join(pattern(8, i + salt) for i in range(300))
            assert await disk.frontend.read(0, 8) == pattern(8, salt)

    run(body)


@pytest.mark.slow
def test_killed_with_requests_outstanding_and_started_again(run) -> None:
    async def body(disk: QemuLoopback, image: Image) -> None:
        for salt in range(3):
            writes = [write(i * 8, pattern(8, i + salt)) for i in range(900)]
            pending = asyncio.create_task(disk.frontend.submit(writes))
            await asyncio.sleep(0.005)
            await disk.kill_and_restart()
            await pending
            assert not any(operation.status for operation in writes)
            assert image.content(0, 7200) == b"".join(pattern(8, i + salt) for i in range(900))

    run(body)


async def qmp(path: Path, *commands: dict[str, Any]) -> Any:
    """Gives commands to QEMU's monitor; what the last returns."""
    reader, writer = await asyncio.open_unix_connection(path)
    await reader.readline()
    for command in ({"execute": "qmp_capabilities"}, *commands):
        writer.write(json.dumps(command).encode())
        while "return" not in (answer := json.loads(await reader.readline())):
            assert "error" not in answer, answer
    writer.close()
    return answer["return"]


def test_resized(run, tmp_path: Path) -> None:
    monitor = tmp_path / "monitor"

    async def body(disk: QemuLoopback, image: Image) -> None:
        resized = asyncio.Event()
        disk.frontend.on_resize = lambda info: resized.set()
        nodes = await qmp(monitor, {"execute": "query-named-block-nodes"})
        name = next(node["node-name"] for node in nodes if node["drv"] == "raw")
        arguments = {"node-name": name, "size": 2 * SECTORS * SECTOR}
        await qmp(monitor, {"execute": "block_resize", "arguments": arguments})
        await resized.wait()
        assert disk.frontend.info
        assert disk.frontend.info.sectors == 2 * SECTORS
        await disk.frontend.write(2 * SECTORS - 8, pattern(8))
        assert image.content(2 * SECTORS - 8, 8) == pattern(8)

    run(body, arguments=["-qmp", f"unix:{monitor},server=on,wait=off"])


def test_forced_unplug_unmaps_everything(run) -> None:
    async def body(disk: QemuLoopback, image: Image) -> None:
        await disk.frontend.submit([write(i * 8, pattern(8, i)) for i in range(64)])
        await disk.frontend.abort()  # no word to the backend
        await disk.unplug_forced()
        machine = disk.machine.cdata
        while lib.pv_gnttab_handles(machine, 0):  # noqa: ASYNC110 - another process's work
            await asyncio.sleep(0.01)

    run(body)
