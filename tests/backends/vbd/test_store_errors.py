"""What a backend says of operations that its store has failed: to its user, and in one line."""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pvdrivers.backends import faults
from pvdrivers.backends.stores.filters import DelayFilter, ErrorFilter
from pvdrivers.backends.stores.store import BlockStore, FileStore, RamStore, StoreOperation
from pvdrivers.backends.vbd.store_errors import StoreError
from pvdrivers.poll.driver import PollDriver
from pvdrivers.poll.loop import LoopDriver
from pvdrivers.poll.threads import PollThreads
from pvdrivers.sim import Machine
from pvdrivers.testing.vbd.pair import VbdPair

SIZE = 1 << 20

Body = Callable[[VbdPair], Awaitable[None]]


@pytest.fixture(params=["loop", "threads"])
def driver(request: pytest.FixtureRequest) -> Iterator[PollDriver]:
    with ExitStack() as stack:
        threads = request.param == "threads"
        yield stack.enter_context(PollThreads()) if threads else LoopDriver()


def run(driver: PollDriver, store: BlockStore, body: Body) -> None:
    async def main(machine: Machine) -> None:
        dom0, guest = machine.create_domain(privileged=True), machine.create_domain()
        async with VbdPair(dom0.hypervisor, guest.hypervisor, store, driver=driver) as disk:
            await body(disk)

    with Machine() as machine, store:
        asyncio.run(asyncio.wait_for(main(machine), 60))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


async def fails(operation: Awaitable[object]) -> None:
    with pytest.raises(OSError, match="error"):
        await operation


def test_an_error_is_told(driver: PollDriver, caplog: pytest.LogCaptureFixture) -> None:
    async def body(disk: VbdPair) -> None:
        backend = disk.backend
        await disk.frontend.write(0, bytes(4096))
        assert backend.last_store_error is None
        await fails(disk.frontend.read(80, 8))
        await disk.wait(lambda: backend.last_store_error is not None)
        assert backend.last_store_error == StoreError(StoreOperation.READ, 80, 8, errno.ENOMEDIUM)
        assert backend.statistics()["errors"] == 1
        assert "last store error read of 8 sectors at 80: ENOMEDIUM" in backend.describe()
        assert lines(caplog) == [
            f"{disk.config.backend_path}: read of 8 sectors at 80: ENOMEDIUM, 1 failures so far, "
            f"on {disk.store!r}"
        ]

    run(
        driver,
        ErrorFilter(RamStore(SIZE), seed=1, operations=[StoreOperation.READ], error=123),
        body,
    )


def test_many_errors_are_a_few_lines(
    driver: PollDriver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first at once. Later reports are put off forever here, except the one at the end."""
    monkeypatch.setattr(faults, "INTERVAL", 1e9)

    async def body(disk: VbdPair) -> None:
        await fails(disk.frontend.write(0, bytes(512)))
        await disk.wait(lambda: disk.backend.last_store_error is not None)
        for sector in range(1, 100):
            await fails(disk.frontend.write(sector, bytes(512)))
        assert len(lines(caplog)) == 1
        assert disk.backend.last_store_error == StoreError(StoreOperation.WRITE, 0, 1, errno.EIO)
        await disk.backend.disconnect()
        assert disk.backend.last_store_error == StoreError(StoreOperation.WRITE, 99, 1, errno.EIO)
        assert len(lines(caplog)) == 2
        assert "write of 1 sectors at 99: EIO, 100 failures so far" in lines(caplog)[1]

    run(driver, ErrorFilter(RamStore(SIZE), seed=1, operations=[StoreOperation.WRITE]), body)


def test_later_errors_are_told_too(
    driver: PollDriver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "INTERVAL", 0.001)

    async def body(disk: VbdPair) -> None:
        for count in range(1, 4):
            await fails(disk.frontend.read(count, 1))
            await disk.wait(lambda: len(lines(caplog)) == count)  # noqa: B023
        assert [f"at {i}: EIO, {i} f" in line for i, line in enumerate(lines(caplog), 1)] == [
            True
        ] * 3

    run(driver, ErrorFilter(RamStore(SIZE), seed=1, operations=[StoreOperation.READ]), body)


def test_the_next_connection_counts_on(
    driver: PollDriver, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(disk: VbdPair) -> None:
        for count in (1, 2):
            await fails(disk.frontend.write(count, bytes(512)))
            new = ErrorFilter(RamStore(SIZE), seed=1)
            (await disk.backend.replace_store(new)).close()
            assert f", {count} failures so far" in lines(caplog)[-1]
        assert await disk.unplug()
        new.close()

    run(driver, ErrorFilter(RamStore(SIZE), seed=1), body)


def test_a_store_says_what_it_stands_on(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(SIZE))
    with FileStore(image, engine="sync") as store:
        assert store.where() == f"file (sync) {image}"
    with DelayFilter(FileStore(image, direct=True, engine="threads"), delay=1) as delayed:
        where = f"delay on file (threads) {image}, direct"
        assert delayed.where() == where
        assert where in repr(delayed)
