"""A disk that does not answer, at any call, affects no other disk."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from pvdrivers.backends import exchange
from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.vbd import served_disk
from pvdrivers.backends.vbd.disk import DiskConfig, ServeOptions
from pvdrivers.backends.vbd.served_disk import ServedDisk
from pvdrivers.backends.vbd.service import VbdService
from pvdrivers.daemon_threads import open_in_daemon_thread
from pvdrivers.testing.vbd.pair import VbdPair
from pvdrivers.toolstack.devices import add_device, destroy_device, unplug_device
from tests.until import until

from .guests import MIB, PATIENCE, Guests, use


class Server:
    """Opens disks, and answers for xvda only once it is back."""

    def __init__(self) -> None:
        self.is_back = threading.Event()
        self.asked = threading.Event()
        self.opened: list[RamStore] = []

    def open(self, disk: DiskConfig) -> RamStore:
        if disk.name == "xvda":
            self.asked.set()
            self.is_back.wait()
        store = RamStore(MIB)
        self.opened.append(store)
        return store

    def options_for(self, disk: DiskConfig) -> ServeOptions:
        async def open_store(disk: DiskConfig) -> RamStore:
            return await open_in_daemon_thread(lambda: self.open(disk))

        return ServeOptions(open_store)

    async def is_asked(self) -> None:
        await asyncio.to_thread(self.asked.wait, PATIENCE)
        self.asked.clear()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.is_back.set()


@asynccontextmanager
async def two_disks() -> AsyncIterator[Guests]:
    guests = Guests()
    await guests.plug("xvda")
    await guests.plug("xvdb")
    try:
        yield guests
    finally:
        for end in guests.ends.values():
            await end.frontend.abort()
        guests.machine.close()


def error_node(end: VbdPair) -> str:
    home = end.config.backend_path.removeprefix("/local/domain/0/")
    return f"/local/domain/0/error/{home}/error"


def test_other_disks_are_served_and_the_service_ends(server: Server) -> None:
    async def main() -> None:
        async with two_disks() as guests:
            async with VbdService(
                guests.client, guests.dom0.hypervisor, server.options_for
            ) as service:
                await server.is_asked()
                await use(guests.ends["xvdb"])
                await guests.plug("xvdc")
                await use(guests.ends["xvdc"])
                await service.reload(server.options_for)  # tries it again, and waits for nothing
                await server.is_asked()
                await use(guests.ends["xvdb"])
            # A store that is opened too late is closed.
            server.is_back.set()
            await until(lambda: len(server.opened) == 4)
            await until(lambda: all("closed" in repr(store) for store in server.opened))

    asyncio.run(main())


def test_it_ends_in_the_error_node_and_is_tried_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_store(disk: DiskConfig) -> RamStore:
        return RamStore(MIB)

    async def main() -> None:
        async with two_disks() as guests:
            hung = guests.ends["xvda"]
            plans = {"xvdb": ServeOptions(open_store)}
            async with VbdService(
                guests.client, guests.dom0.hypervisor, lambda disk: plans.get(disk.name)
            ) as service:
                await use(
                    guests.ends["xvdb"]
                )  # it is open, however little time there is from now on
                monkeypatch.setattr(exchange, "OPEN_TIMEOUT", 0.05)
                plans["xvda"] = server.options_for(DiskConfig("xvda"))
                await service.reload(service.options_for)
                await hung.wait(lambda: hung.frontend.state.name == "CLOSED", PATIENCE)
                for key in (error_node(hung), f"{hung.config.backend_path}/hotplug-error"):
                    assert "not open after" in await hung.toolstack.read_str(key)
                await use(guests.ends["xvdb"])
                server.is_back.set()
                monkeypatch.setattr(exchange, "OPEN_TIMEOUT", PATIENCE)
                await service.reload(service.options_for)
                await hung.frontend.abort()
                hung.new_frontend().start()
                await use(hung)

    asyncio.run(main())


@pytest.mark.parametrize("how", ["destroyed", "unplugged"])
def test_the_toolstack_can_take_it_away_and_put_another_in_its_place(
    server: Server, how: str
) -> None:
    async def main() -> None:
        async with two_disks() as guests:
            hung = guests.ends["xvda"]
            async with VbdService(guests.client, guests.dom0.hypervisor, server.options_for):
                await server.is_asked()
                if how == "destroyed":
                    await destroy_device(hung.toolstack, hung.config)
                else:
                    # At once, not after the toolstack's timeout: nothing holds the disk.
                    assert await unplug_device(hung.toolstack, hung.config)
                await hung.frontend.abort()
                hung.config.backend_keys["dev"] = "xvdz"
                await add_device(hung.toolstack, hung.config)
                hung.new_frontend().start()
                await use(hung)
                server.is_back.set()
                await until(lambda: len(server.opened) == 3)
                await until(lambda: sum("closed" in repr(s) for s in server.opened) == 1)
                await use(hung)

    asyncio.run(main())


def test_a_disk_that_was_replaced_while_it_was_opened_is_not_served_to_its_successor(
    server: Server,
) -> None:
    """Even when the toolstack replaces it in one transaction, so that it is never seen to go."""

    async def main() -> None:
        async with two_disks() as guests:
            replaced = guests.ends["xvda"]
            async with VbdService(
                guests.client, guests.dom0.hypervisor, server.options_for
            ) as service:
                await server.is_asked()
                await replaced.toolstack.write(f"{replaced.config.backend_path}/dev", "xvdz")
                server.is_back.set()
                await use(replaced)
                device = service.devices[replaced.config.backend_path]
                assert isinstance(device, ServedDisk)
                assert device.disk.name == "xvdz"

    asyncio.run(main())


def test_a_new_store_that_does_not_open_leaves_the_old_one_and_the_device_alone(
    server: Server,
) -> None:
    def before(disk: DiskConfig) -> ServeOptions:
        return ServeOptions(open_small)

    async def open_small(disk: DiskConfig) -> RamStore:
        return RamStore(MIB)

    async def main() -> None:
        async with two_disks() as guests:
            end = guests.ends["xvda"]
            async with VbdService(guests.client, guests.dom0.hypervisor, before) as service:
                await use(end)
                await service.reload(server.options_for)
                await server.is_asked()
                await use(end)
                assert await unplug_device(end.toolstack, end.config)
                assert end.config.backend_path not in service.devices
                server.is_back.set()
                await until(lambda: any("closed" in repr(store) for store in server.opened))

    asyncio.run(main())


def test_a_store_that_does_not_close_delays_no_other_disk(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Stuck(RamStore):
        def close(self) -> None:
            server.is_back.wait()
            super().close()

    async def open_stuck(disk: DiskConfig) -> RamStore:
        return Stuck(MIB) if disk.name == "xvda" else RamStore(MIB)

    monkeypatch.setattr(exchange, "CLOSE_TIMEOUT", 0.05)

    async def main() -> None:
        async with two_disks() as guests:
            end = guests.ends["xvda"]
            options = ServeOptions(open_stuck)
            async with VbdService(guests.client, guests.dom0.hypervisor, lambda _: options):
                await use(end)
                assert await unplug_device(end.toolstack, end.config)
                await use(guests.ends["xvdb"])

    asyncio.run(main())
    assert "not closed after" in caplog.text


def test_a_path_that_does_not_answer_has_no_hotplug_keys(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(path: str) -> dict[str, str]:
        server.is_back.wait()
        return {}

    async def open_store(disk: DiskConfig) -> RamStore:
        return RamStore(MIB)

    monkeypatch.setattr(served_disk, "physical_keys", hang)
    monkeypatch.setattr(served_disk, "STAT_TIMEOUT", 0.05)

    async def main() -> None:
        async with two_disks() as guests:
            end = guests.ends["xvda"]
            await end.toolstack.write(f"{end.config.backend_path}/params", "/a/path")
            options = ServeOptions(open_store)
            async with VbdService(guests.client, guests.dom0.hypervisor, lambda _: options):
                await use(end)
                path = f"{end.config.backend_path}/hotplug-status"
                assert await end.toolstack.read_str(path) == "connected"

    asyncio.run(main())


PROGRAM = """
import asyncio, time
from pvdrivers.daemon_threads import in_daemon_thread

async def main():
    calls = [asyncio.ensure_future(in_daemon_thread(lambda: time.sleep(1e6))) for _ in range(100)]
    print(await in_daemon_thread(lambda: "answered"))

asyncio.run(main())
"""


def test_any_number_of_calls_that_hang_hold_up_neither_others_nor_the_end() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120
    )
    assert (run.stdout, run.stderr) == ("answered\n", "")


def test_without_a_thread_to_close_its_store_a_device_still_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        store = RamStore(MIB)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", no_thread)
            await exchange.close_in_time(store)
        assert "not closed: [Errno 11] no thread" in caplog.text
        store.close()

    asyncio.run(main())
