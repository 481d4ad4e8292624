"""Devices whose queues threads pump, while everything else about them happens on the loop."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from pvdrivers.backends.stores.filters import DelayFilter
from pvdrivers.backends.stores.python_store import PythonStore, StoreBatch
from pvdrivers.backends.stores.store import BlockStore, RamStore, StoreOperation
from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.poll.group import Mode
from pvdrivers.poll.loop import LoopDriver
from pvdrivers.poll.threads import PollThreads
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.testing.vbd.pair import VbdPair
from pvdrivers.vbd.features import FrontendFeatures
from pvdrivers.xenbus.states import XenbusState

SIZE = 1 << 20
QUEUES = 4
SLOW = 20_000_000  # ns

Body = Callable[[VbdPair], Awaitable[None]]


def run(threads: PollThreads, store: BlockStore, body: Body) -> None:
    """Runs `body` with a disk of four queues that `threads` drive."""
    with threads, Machine(256 << 20) as machine:
        dom0, guest = (
            machine.create_domain(privileged=True),
            machine.create_domain(memory=128 << 20),
        )

        async def main() -> None:
            disk = VbdPair(
                dom0.hypervisor,
                guest.hypervisor,
                store,
                options=VbdBackendOptions(max_queues=QUEUES),
                features=FrontendFeatures(max_queues=QUEUES),
                connect=False,
            )
            async with disk, asyncio.timeout(60):
                disk.backend.driver = threads
                disk.backend.start()
                disk.frontend.start()
                await disk.frontend.connected()
                await disk.backend.wait_for(XenbusState.CONNECTED)
                await body(disk)

        asyncio.run(main())
        accounts = dom0.accounts
        assert accounts["grants_mapped"] == accounts["grants_unmapped"]
        store.close()  # UsageError if a queue were left on it


async def use(disk: VbdPair, salt: int = 1) -> None:
    """Much at once, over all queues."""
    sectors = range(0, SIZE // 512, 8)
    data = {sector: bytes([(sector // 8 + salt) % 255 + 1]) * 4096 for sector in sectors}
    await asyncio.gather(*(disk.frontend.write(sector, data[sector]) for sector in sectors))
    read = await asyncio.gather(*(disk.frontend.read(sector, 8) for sector in sectors))
    assert read == list(data.values())


@pytest.mark.parametrize("mode", ["poll", "hybrid", "event"])
def test_every_mode_serves(mode: Mode) -> None:
    async def body(disk: VbdPair) -> None:
        for salt in range(3):
            await use(disk, salt)
            await asyncio.sleep(0.01)  # long enough to fall asleep
        assert disk.backend.statistics()["requests"] >= 6 * SIZE // 4096
        assert await disk.unplug()

    run(PollThreads(2, mode), RamStore(SIZE), body)


def test_queues_are_shared_out_and_taken_back() -> None:
    threads = PollThreads(3)

    async def body(disk: VbdPair) -> None:
        assert repr(threads) == "<PollThreads hybrid, pollables [2, 1, 1]>"
        threads.check()
        await use(disk)
        assert await disk.unplug()
        assert repr(threads) == "<PollThreads hybrid, pollables [0, 0, 0]>"

    run(threads, RamStore(SIZE), body)


def test_a_store_is_replaced_under_io() -> None:
    old, new = RamStore(SIZE), RamStore(SIZE)

    async def body(disk: VbdPair) -> None:
        queues = disk.frontend.queues
        await use(disk)
        busy = asyncio.create_task(use(disk, 2))
        await asyncio.sleep(0)
        assert await disk.backend.replace_store(new) is old
        old.check_unused()
        with suppress(AssertionError):  # what was written to the old store is not in the new one
            await busy
        await use(disk, 3)
        assert disk.frontend.queues == queues
        assert new.read(0, 8) == bytes([4]) * 4096
        assert await disk.unplug()
        new.close()

    run(PollThreads(1), old, body)


def test_operations_of_a_slow_store_are_waited_for() -> None:
    """It ends when the threads have given its queue back, and only the loop pumps it."""
    slow = DelayFilter(RamStore(SIZE), delay=SLOW)

    async def body(disk: VbdPair) -> None:
        reads = [asyncio.create_task(disk.frontend.read(sector, 1)) for sector in range(8)]
        await disk.wait(lambda: disk.backend.statistics()["requests"] == len(reads))
        await disk.backend.abort()
        assert await asyncio.gather(*reads) == [bytes(512)] * len(reads)

    run(PollThreads(2, "event"), slow, body)


class Bytes(PythonStore):
    """Keeps its sectors in a bytearray."""

    def __init__(self) -> None:
        super().__init__(SIZE)
        self.content = bytearray(SIZE)

    def handle(self, batch: StoreBatch) -> None:
        for request in batch:
            place = slice(request.sector * 512, request.sector * 512 + len(request.data))
            if request.operation is StoreOperation.READ:
                request.data[:] = self.content[place]
            elif request.operation is StoreOperation.WRITE:
                self.content[place] = request.data
            request.done()


def test_a_store_in_python_is_served_by_the_loop() -> None:
    """It finishes in another thread what one has submitted."""
    store = Bytes()

    async def body(disk: VbdPair) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(store.fileno(), store.serve)
        await use(disk)
        assert await disk.unplug()
        loop.remove_reader(store.fileno())

    run(PollThreads(2), store, body)


@pytest.mark.slow
def test_devices_may_have_a_thread_each_and_share_all() -> None:
    """Guests come and go while others are busy on the same threads."""
    with PollThreads(2) as threads, Machine() as machine:
        dom0 = machine.create_domain(privileged=True)
        guests = [machine.create_domain() for _ in range(8)]

        async def live(index: int, disk: VbdPair) -> None:
            async with disk:
                disk.backend.driver = threads
                disk.backend.start()
                disk.frontend.start()
                await disk.frontend.connected()
                await use(disk, index)
                assert await disk.unplug()

        async def main() -> None:
            for _ in range(3):
                disks = [
                    VbdPair(dom0.hypervisor, guest.hypervisor, RamStore(SIZE), connect=False)
                    for guest in guests
                ]
                async with asyncio.timeout(60):
                    await asyncio.gather(*(live(i, disk) for i, disk in enumerate(disks)))

        asyncio.run(main())
        assert repr(threads) == "<PollThreads hybrid, pollables [0, 0]>"


def test_threads_stay_on_their_processors() -> None:
    processor = min(os.sched_getaffinity(0))
    with PollThreads(2, processors=[processor, processor]) as threads:
        assert [os.sched_getaffinity(thread) for thread in threads.thread_ids] == [{processor}] * 2


def test_a_processor_that_is_not_there() -> None:
    before = threading.active_count()
    with pytest.raises(OSError, match="no poll thread on processor 4095"):
        PollThreads(2, processors=[0, 4095]).__enter__()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"mode": "idle"}, "'idle' is not a poll mode: poll, hybrid, event"),
        ({"threads": 0}, "0 poll threads are not 1 to 64"),
        ({"threads": 2, "processors": [0]}, "2 poll threads on 1 processors"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        PollThreads(**arguments)  # type: ignore[arg-type]


def test_no_queue_is_taken_by_threads_that_do_not_run() -> None:
    """The device's driver fails, and says so."""
    threads = PollThreads()
    with pytest.raises(UsageError, match="not running"):
        threads.add(None)


def test_a_thread_that_has_ended_is_found() -> None:
    with PollThreads(2) as threads:
        threads.check()
        threads._threads[1].group.stop()
        threads._threads[1]._thread.join()
        with pytest.raises(RuntimeError, match="a poll thread has ended"):
            threads.check()


def test_the_loop_is_the_default() -> None:
    with Machine() as machine:
        dom0, guest = machine.create_domain(privileged=True), machine.create_domain()
        disk = VbdPair(dom0.hypervisor, guest.hypervisor, RamStore(SIZE))

        async def main() -> None:
            async with disk:
                assert isinstance(disk.backend.driver, LoopDriver)
                await use(disk)

        asyncio.run(main())
