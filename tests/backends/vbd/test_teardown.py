"""Releasing a disk while its store still has operations: freed memory is not used."""

import asyncio

import pytest

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.stores.filters import DelayFilter
from pvdrivers.backends.stores.python_store import PythonStore, StoreBatch
from pvdrivers.backends.stores.store import BlockStore, RamStore
from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.backends.vbd.disk import DiskConfig, ServeOptions
from pvdrivers.backends.vbd.served_disk import ServedDisk
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.frontends.vbd.operations import Operation, read
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.testing.vbd.loopback import VbdLoopback
from pvdrivers.testing.vbd.pair import VbdPair
from pvdrivers.vbd.features import FrontendFeatures
from pvdrivers.xenbus.states import XenbusState
from tests.until import until

QUEUES = 3


class SlowStore(PythonStore):
    """Answers only when its test calls `serve`."""

    def handle(self, batch: StoreBatch) -> None:
        batch.done()


@pytest.mark.parametrize("held", range(QUEUES))
@pytest.mark.parametrize("aborts", [1, 2])
def test_a_store_that_is_late(held: int, aborts: int) -> None:
    """One queue's read is still with the store when the backend is released; its statistics are
    read all the while, and the caller may lose patience and abort it again."""
    store = SlowStore(1 << 20)
    with Machine("256M") as machine:
        dom0 = machine.create_domain(privileged=True)
        guest = machine.create_domain(memory="64M")

        async def reads(disk: VbdPair) -> list[asyncio.Task[list[Operation]]]:
            """One on each queue; all but the held one are answered."""
            tasks = []
            for queue in (*(q for q in range(QUEUES) if q != held), held):
                disk.frontend._next_queue = queue
                before = disk.backend.statistics()["rd_req"]
                tasks.append(asyncio.create_task(disk.frontend.submit([read(0, 8)])))
                await disk.wait(lambda b=before: disk.backend.statistics()["rd_req"] > b)
                if queue != held:
                    store.serve()
                    await tasks[-1]
            return tasks

        async def main() -> None:
            options = FrontendFeatures(protocol="x86_64-abi", max_queues=QUEUES)
            async with VbdPair(dom0.hypervisor, guest.hypervisor, store, features=options) as disk:
                tasks = await reads(disk)
                ends = []
                for _ in range(aborts):
                    ends.append(asyncio.create_task(disk.backend.abort()))
                    for _ in range(20):
                        await asyncio.sleep(0.001)
                        assert disk.backend.statistics()["rd_req"] == QUEUES
                        assert disk.backend.describe()
                store.serve()
                await asyncio.gather(*ends)
                assert disk.backend.statistics()["rd_req"] == QUEUES
                await disk.frontend.abort()
                await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run(asyncio.wait_for(main(), 30))
        accounts = dom0.accounts
        assert accounts["grants_mapped"] == accounts["grants_unmapped"]
    store.close()


def served(context: DeviceContext, store: BlockStore, options: VbdBackendOptions) -> ServedDisk:
    async def open_store(disk: DiskConfig) -> BlockStore:
        return store

    disk = DiskConfig(context.path)
    return ServedDisk(context, disk, ServeOptions(open_store, options), store)


async def read_under_way(frontend: VbdFrontend, backend: ServedDisk) -> asyncio.Task[None]:
    """A read that the backend has taken."""
    pending = asyncio.create_task(frontend.submit([read(0, 8)]))
    await until(lambda: backend.statistics()["rd_req"])
    return pending


def test_a_store_that_does_not_finish_is_waited_for_no_longer_than_told() -> None:
    store = SlowStore(1 << 20)

    async def scenario(frontend: VbdFrontend) -> None:
        await frontend.connected()
        backend = loopback.backend
        pending = await read_under_way(frontend, backend)
        await backend.abort(patience=0.01)
        assert not backend.finished
        assert backend.is_gone
        assert len(backend.queues) == 1, "the read may still come"
        store.serve()
        await backend.abort()
        assert backend.finished
        assert backend.queues == []
        await frontend.abort()
        await asyncio.gather(pending, return_exceptions=True)

    with VbdLoopback(lambda: store, backend=served) as loopback:
        loopback.run(scenario)


def test_a_store_in_use_is_neither_closed_nor_taken_over() -> None:
    with Machine("256M") as machine, RamStore(1 << 20) as store:
        dom0 = machine.create_domain(privileged=True)
        guest = machine.create_domain(memory="64M")

        async def main() -> None:
            async with VbdPair(dom0.hypervisor, guest.hypervisor, store) as disk:
                with pytest.raises(UsageError, match="in use by a backend"):
                    store.close()
                with pytest.raises(UsageError, match="in use by a backend"):
                    DelayFilter(store, delay=1)
                await disk.frontend.write(8, b"still served" + bytes(500))
                assert (await disk.frontend.read(8, 1)).startswith(b"still served")
            store.check_unused()

        asyncio.run(asyncio.wait_for(main(), 30))


def test_a_served_disk_aborted_while_it_is_released_closes_its_store_last() -> None:
    store = SlowStore(1 << 20)

    async def scenario(frontend: VbdFrontend) -> None:
        await frontend.connected()
        backend = loopback.backend
        pending = await read_under_way(frontend, backend)
        await frontend.abort()
        closed = str(int(XenbusState.CLOSED))
        await loopback.toolstack.write(f"{loopback.config.frontend_path}/state", closed)
        while backend.fsm.connected:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        ending = asyncio.create_task(backend.abort())
        await asyncio.sleep(0.01)
        assert len(backend.queues) == 1
        store.serve()
        await ending
        assert backend.queues == []
        with pytest.raises(UsageError, match="closed"):
            store.sectors  # noqa: B018
        await asyncio.gather(pending, return_exceptions=True)

    with VbdLoopback(lambda: store, backend=served) as loopback:
        loopback.run(scenario)
