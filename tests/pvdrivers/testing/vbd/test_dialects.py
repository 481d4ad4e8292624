"""Our drivers against peers that speak as Linux and QEMU do; docs/interop.md names these tests."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.frontends.vbd.operations import discard, read, write
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.testing.qemu import PROGRAM
from pvdrivers.testing.vbd.dialects import (
    FRONTEND_SIDE,
    LINUX_BACKEND,
    LINUX_FRONTEND,
    QEMU,
    BackendDialect,
)
from pvdrivers.testing.vbd.emulated import DialectBackend, DialectFrontend
from pvdrivers.testing.vbd.pair import VbdPair
from pvdrivers.testing.vbd.qemu import QemuLoopback
from pvdrivers.toolstack.devices import unplug_device
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.store import XenStore
from pvdrivers.xenstore.watches import Change

SECTORS = 4096
TESTS = Path(__file__).parents[3]
INTEROP = TESTS.parent / "docs/interop.md"

Body = Callable[[VbdPair, "Writes"], Awaitable[None]]
backends = pytest.mark.parametrize("dialect", [LINUX_BACKEND, QEMU], ids=lambda d: d.name)


def pattern(sectors: int, salt: int = 0) -> bytes:
    return b"".join((i * 2654435761 + salt).to_bytes(8, "little") * 64 for i in range(sectors))


class Writes(XenStore):
    """A store that keeps what is written to a disk's two directories: `back/state=2`."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def _fire(self, change: Change) -> None:
        side, _, key = change.path.partition("/51712/")
        node = self.view.tree.get(change.path)
        if key and node and not side.startswith("/libxl"):
            name = "back" if "/backend/" in side else "front"
            self.lines.append(f"{name}/{key}={node.value.decode()}")
        super()._fire(change)

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

    def states(self, side: str) -> list[str]:
        """The states written since the last take, repetitions left out."""
        found = [line[-1] for line in self.lines if line.startswith(f"{side}/state=")]
        return [state for i, state in enumerate(found) if found[i - 1 : i] != [state]]


def run(body: Body, *, start: bool = True, **loopback: Any) -> None:
    """Runs `body` beside a disk; nothing may be left mapped."""

    async def main(dom0: Any, guest: Any, store: RamStore) -> None:
        writes = Writes()
        disk = VbdPair(
            dom0.hypervisor,
            guest.hypervisor,
            store,
            connect=False,
            xenstore=writes,
            **loopback,
        )
        async with asyncio.timeout(30), disk:
            # A hotplug script's, for the backend that waits for one.
            await disk.toolstack.write(f"{disk.config.backend_path}/physical-device", "7:0")
            writes.take()
            if start:
                disk.backend.start()
                await disk.backend.wait_for(XenbusState.INIT_WAIT)
                disk.frontend.start()
                await disk.frontend.connected()
                await disk.backend.wait_for(XenbusState.CONNECTED)
            await body(disk, writes)

    with Machine("256M") as machine, RamStore(SECTORS * 512) as store:
        dom0 = machine.create_domain(privileged=True, memory="32M")
        guest = machine.create_domain(memory="64M")
        asyncio.run(main(dom0, guest, store))
        assert dom0.accounts["grants_mapped"] == dom0.accounts["grants_unmapped"]


async def exercise(disk: VbdPair, salt: int = 0) -> None:
    front = disk.frontend
    for sector, count in ((0, 8), (8, 24), (800, 88), (1024, 256), (2048, 1024)):
        await front.write(sector, pattern(count, sector + salt))
        assert await front.read(sector, count) == pattern(count, sector + salt)
    await front.submit([write(i * 8, pattern(8, i + salt)) for i in range(200)])
    reads = await front.submit([read(i * 8, 8) for i in range(200)])
    assert [operation.data for operation in reads] == [pattern(8, i + salt) for i in range(200)]
    await front.flush()


# ---- our backend, Linux' frontend --------------------------------------------------------------


def linux(**parameters: Any) -> Any:
    return partial(DialectFrontend, dialect=LINUX_FRONTEND, **parameters)


def names(lines: list[str], side: str) -> list[str]:
    return [line.split("=")[0].removeprefix(side) for line in lines if line.startswith(side)]


@pytest.mark.parametrize(
    ("processors", "order", "keys"),
    [
        (1, 0, ["ring-ref", "event-channel"]),
        (1, 1, ["ring-page-order", "ring-ref0", "ring-ref1", "event-channel"]),
        (2, 0, ["multi-queue-num-queues", "queue-0/ring-ref", "queue-0/event-channel",
                "queue-1/ring-ref", "queue-1/event-channel"]),
        (2, 1, ["ring-page-order", "multi-queue-num-queues", "queue-0/ring-ref0",
                "queue-0/ring-ref1", "queue-0/event-channel", "queue-1/ring-ref0",
                "queue-1/ring-ref1", "queue-1/event-channel"]),
    ],
)  # fmt: skip
def test_linux_frontend_connects(processors: int, order: int, keys: list[str]) -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        assert writes.states("front") == ["3", "4"]
        assert names(writes.take(), "front/") == [
            *keys,
            "protocol",
            "feature-persistent",
            "state",
            "state",
        ]
        assert len(disk.backend.queues) == processors
        await exercise(disk)

    run(body, frontend=linux(processors=processors, max_ring_page_order=order))


def test_linux_frontend_has_as_many_queues_as_processors() -> None:
    for processors, offered, queues in ((16, 8, 4), (3, 8, 3), (16, 2, 2)):

        async def body(disk: VbdPair, writes: Writes, queues: int = queues) -> None:
            assert len(disk.backend.queues) == queues
            await exercise(disk)

        options = VbdBackendOptions(max_queues=offered)
        run(body, frontend=linux(processors=processors), options=options)


@pytest.mark.parametrize("offered", [False, True])
def test_linux_frontend_says_persistent_whatever_is_offered(offered: bool) -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        assert "front/feature-persistent=1" in writes.lines
        assert disk.frontend.agreement
        assert disk.frontend.agreement.persistent == offered
        assert ("persistent" in disk.backend.describe()) == offered
        await exercise(disk)

    run(body, frontend=linux(), options=VbdBackendOptions(persistent=offered))


def test_linux_frontend_looks_for_partitions() -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        statistics = disk.backend.statistics()
        assert (statistics["rd_req"], statistics["rd_sect"]) == (3, 24)

    run(body, frontend=linux())


def test_linux_frontend_keeps_requests_below_128_kib() -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        before = disk.backend.statistics()["wr_req"]
        await disk.frontend.write(0, pattern(1024))
        assert disk.backend.statistics()["wr_req"] - before == 4

    run(body, frontend=linux())


def test_linux_frontend_discards_the_whole_disk() -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        await disk.frontend.write(0, pattern(8))
        before = disk.backend.statistics()["ds_req"]
        await disk.frontend.submit([discard(0, SECTORS)])
        assert disk.backend.statistics()["ds_req"] - before == 1
        assert await disk.frontend.read(0, 8) == bytes(8 * 512)

    run(body, frontend=linux())


def test_linux_frontend_closes_at_once() -> None:
    """Requests under way or not, 4 goes to 6; and the disk can be plugged in again."""

    async def body(disk: VbdPair, writes: Writes) -> None:
        for salt in range(2):
            pending = asyncio.create_task(disk.frontend.submit([read(0, 8) for _ in range(60)]))
            await asyncio.sleep(0)
            writes.take()
            assert await disk.unplug()
            await disk.wait(lambda: disk.frontend.finished and disk.backend.finished)
            assert writes.states("front") == ["6"]
            await asyncio.gather(pending, return_exceptions=True)
            await disk.plug()
            disk.new_backend().start()
            disk.new_frontend().start()
            await disk.frontend.connected()
            await exercise(disk, salt)

    run(body, frontend=linux())


def test_linux_frontend_waits_for_ever_for_a_killed_backend() -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        await disk.backend.abort()
        disk.new_backend().start()
        await disk.backend.wait_for(XenbusState.INITIALISING)
        assert writes.states("back")[-1] == "1"
        writes.take()
        await asyncio.sleep(0.05)
        assert writes.take() == []
        assert disk.frontend.state is XenbusState.CONNECTED
        assert disk.backend.state is XenbusState.INITIALISING

    run(body, frontend=linux())


def test_linux_frontend_resumes_beside_a_new_backend() -> None:
    """It writes new rings and 3 whatever the backend's state is; a restored domain's is new."""

    async def body(disk: VbdPair, writes: Writes) -> None:
        await disk.backend.abort()
        await disk.toolstack.write(f"{disk.config.backend_path}/state", "1")
        disk.new_backend()
        disk.frontend.resume()
        await disk.wait(lambda: disk.frontend.state is XenbusState.INITIALISED)
        disk.backend.start()
        await disk.frontend.connected()
        await exercise(disk)

    run(body, frontend=linux())


def test_linux_frontend_takes_a_new_size() -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        for sectors in (SECTORS // 2, SECTORS):
            resized = asyncio.Event()
            disk.frontend.on_resize = lambda info, resized=resized: resized.set()
            disk.backend.resize(sectors)
            await resized.wait()
            assert disk.frontend.info
            assert disk.frontend.info.sectors == sectors
        await exercise(disk)

    run(body, frontend=linux())


# ---- our frontend, others' backends ------------------------------------------------------------


def speaking(dialect: BackendDialect) -> Any:
    return partial(DialectBackend, dialect=dialect)


def test_linux_backend_keys() -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        found = names(writes.take(), "back/")
        assert found == [*LINUX_BACKEND.limits, "state", *LINUX_BACKEND.disk, "state"]
        agreement = disk.frontend.agreement
        assert agreement
        assert agreement.persistent
        assert agreement.flush
        assert agreement.discard
        assert agreement.layout.max_indirect_segments == 256

    run(body, backend=speaking(LINUX_BACKEND))


def test_linux_backend_waits_for_its_hotplug_script() -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        key = f"{disk.config.backend_path}/physical-device"
        await disk.toolstack.remove(key)
        disk.backend.start()
        disk.frontend.start()
        await disk.frontend.wait_for(XenbusState.INITIALISED)
        await asyncio.sleep(0.02)
        assert disk.backend.state is XenbusState.INIT_WAIT
        await disk.toolstack.write(key, "7:0")
        await disk.frontend.connected()
        await exercise(disk)

    run(body, backend=speaking(LINUX_BACKEND), start=False)


def test_linux_backend_serves_a_read_only_disk() -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        assert "back/info=4" in writes.lines
        assert await disk.frontend.read(0, 8) == bytes(4096)
        with pytest.raises(UsageError, match="read-only"):
            await disk.frontend.write(0, bytes(512))

    run(body, backend=speaking(LINUX_BACKEND), writable=False)


def test_qemu_backend_keys() -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        lines = writes.take()
        limits = [key for key in QEMU.limits if not key.startswith(FRONTEND_SIDE)]
        assert names(lines, "back/") == [*limits, "state", "state"]
        before = lines[: lines.index("back/state=2")]
        assert names(before, "front/") == ["virtual-device", "device-type"]
        agreement = disk.frontend.agreement
        assert agreement
        assert not agreement.persistent
        assert not agreement.barrier
        assert agreement.layout.max_indirect_segments == 0
        assert agreement.layout.queues == 1

    run(body, backend=speaking(QEMU))


@backends
def test_backend_serves_our_frontend(dialect: BackendDialect) -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        await exercise(disk)

    run(body, backend=speaking(dialect))


@backends
def test_backend_is_unplugged_and_plugged_in_again(dialect: BackendDialect) -> None:
    ends = [XenbusState.UNKNOWN] + [XenbusState.CLOSED] * (not dialect.removes_itself)

    async def body(disk: VbdPair, writes: Writes) -> None:
        for salt in range(3):
            writes.take()
            assert await unplug_device(disk.toolstack, disk.config, ends=ends)
            await disk.wait(lambda: disk.frontend.finished and disk.backend.finished)
            assert writes.states("back") == ["5", "6"]
            await disk.plug()
            await disk.toolstack.write(f"{disk.config.backend_path}/physical-device", "7:0")
            disk.new_backend().start()
            disk.new_frontend().start()
            await disk.frontend.connected()
            await exercise(disk, salt)

    run(body, backend=speaking(dialect))


@backends
def test_backend_is_unplugged_after_our_frontend_closed(dialect: BackendDialect) -> None:
    ends = [XenbusState.UNKNOWN] + [XenbusState.CLOSED] * (not dialect.removes_itself)

    async def body(disk: VbdPair, writes: Writes) -> None:
        await disk.frontend.close()
        await disk.backend.wait_for(XenbusState.CLOSED)
        assert await unplug_device(disk.toolstack, disk.config, 10, ends)
        await disk.wait(lambda: disk.backend.finished)

    run(body, backend=speaking(dialect))


@backends
def test_backend_offers_again_after_our_frontend_closed(dialect: BackendDialect) -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        for salt in range(3):
            await disk.frontend.close()
            writes.take()
            disk.new_frontend().start()
            await disk.frontend.connected()
            assert writes.states("back") == ["2", "4"]
            await exercise(disk, salt)

    run(body, backend=speaking(dialect))


@backends
@pytest.mark.parametrize("again", ["resumed", "rebooted"])
def test_backend_is_connected_when_our_frontend_starts_over(
    dialect: BackendDialect, again: str
) -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        for salt in range(3):
            writes.take()
            operations = [write(i * 8, pattern(8, i + salt)) for i in range(200)]
            if again == "resumed":
                pending = asyncio.create_task(disk.frontend.submit(operations))
                await asyncio.sleep(0)
                disk.frontend.resume()
                await pending
                assert not any(operation.status for operation in operations)
                await disk.wait(lambda: writes.states("back")[-1:] == ["4"])
                assert writes.states("back")[-3:] == ["6", "2", "4"]
            else:
                await disk.frontend.abort()  # without a word
                disk.new_frontend().start()
                await disk.frontend.connected()
                assert writes.states("back") == ["6", "2", "4"]
            await exercise(disk, salt)

    run(body, backend=speaking(dialect))


@backends
@pytest.mark.parametrize("state", [1, 3])
def test_a_backend_ignores_a_frontend_that_does_not_close_first(
    dialect: BackendDialect, state: int
) -> None:
    """Of the emulated backends only; it is why our frontend has to close first."""

    async def body(disk: VbdPair, writes: Writes) -> None:
        await disk.frontend.abort()
        writes.take()
        await disk.toolstack.write(f"{disk.config.frontend_path}/state", str(state))
        await asyncio.sleep(0.05)
        assert not writes.states("back")
        await disk.toolstack.write(f"{disk.config.frontend_path}/state", "6")
        await disk.backend.wait_for(XenbusState.CLOSED)

    run(body, backend=speaking(dialect))


@backends
def test_backend_has_another_size(dialect: BackendDialect) -> None:
    async def body(disk: VbdPair, writes: Writes) -> None:
        for sectors in (SECTORS // 2, SECTORS):
            resized = asyncio.Event()
            disk.frontend.on_resize = lambda info, resized=resized: resized.set()
            disk.backend.resize(sectors)
            await resized.wait()
            assert disk.frontend.info
            assert disk.frontend.info.sectors == sectors

    run(body, backend=speaking(dialect))


# ---- the double and the real one ---------------------------------------------------------------


async def life(disk: Any, writes: Writes, open_again: Callable[[], Awaitable[None]]) -> list[str]:
    """Resumes, closes, opens and unplugs, and waits for the states that each of them leads to: one
    more is found in front of the next ones. Returns what was offered at the start."""
    lines = writes.take()
    offer = lines[: lines.index("back/state=2") + 1]
    toolstacks = ("front/state", "front/backend", "front/trusted")
    offer = [line for line in offer if not line.startswith(toolstacks)]
    first = next(i for i, line in enumerate(offer) if line.startswith("back/feature-discard"))

    def written() -> list[str]:
        front, back = ("".join(writes.states(end)) for end in ("front", "back"))
        return [front, back.replace("5", "")]  # 6 may come too soon for it

    async def states(front: str, back: str) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(60):
                while written() != [front, back]:  # noqa: ASYNC110 - another process's doing
                    await asyncio.sleep(0.01)
        assert written() == [front, back]
        writes.take()

    disk.frontend.resume()
    await states("56134", "624")
    await disk.frontend.close()
    await states("56", "6")
    await open_again()
    await states("134", "24")
    assert await unplug_device(disk.toolstack, disk.config, ends=[XenbusState.UNKNOWN])
    await states("6", "6")
    return offer[first:]


@pytest.mark.slow
@pytest.mark.skipif(
    not PROGRAM.exists(), reason=f"needs {PROGRAM.name} (Debian package qemu-system-xen)"
)
def test_qemu_behaves_as_emulated(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(SECTORS * 512))
    found: list[list[str]] = []

    async def emulated(disk: VbdPair, writes: Writes) -> None:
        async def open_again() -> None:
            disk.new_frontend().start()
            await disk.frontend.connected()

        found.append(await life(disk, writes, open_again))

    async def real(machine: Machine, guest: Any) -> None:
        disk = QemuLoopback(machine, guest, image)
        disk.xenstore = writes = Writes()
        async with asyncio.timeout(200), disk:
            found.append(await life(disk, writes, disk.open))

    run(emulated, backend=speaking(QEMU), kind="qdisk", params=f"aio:{image}")
    with Machine("256M") as machine:
        machine.create_domain(privileged=True)
        guest = machine.create_domain(memory="64M")
        asyncio.run(real(machine, guest))
    assert found[0] == found[1]


# ---- the pages ---------------------------------------------------------------------------------


def test_tests_named_in_the_interop_table_exist() -> None:
    defined = set()
    for path in TESTS.rglob("test_*.py"):
        defined |= set(re.findall(r"^\s*(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE))
    lines = INTEROP.read_text().splitlines()
    rows = [
        line
        for line, below in pairwise(lines)
        if line.startswith("| ") and not below.startswith("|---")
    ]
    named = {name for row in rows for name in re.findall(r"`(test_\w+)`", row)}
    for row in rows:
        assert "`test_" in row or row.endswith(("| lab |", "| the same |")), row
    assert len(named) > 15
    assert named <= defined
