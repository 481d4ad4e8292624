"""Many disks of one domain: a fault of one affects no other."""

import asyncio
import errno
import threading
from pathlib import Path

import pytest

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.backends.vbd.disk import DiskConfig, ServeOptions
from pvdrivers.backends.vbd.served_disk import ServedDisk
from pvdrivers.backends.vbd.service import VbdService
from pvdrivers.sim import Machine
from pvdrivers.testing.vbd.pair import VbdPair
from pvdrivers.toolstack.devices import add_device
from pvdrivers.vbd.config import disk_config
from pvdrivers.xenbus.states import XenbusState

from .guests import MIB, PATIENCE, Guests, use


class Faulty(ServedDisk):
    """Has a bug that shows on one disk, where `bug` says."""

    bug = ""

    def has(self, bug: str) -> bool:
        return self.disk.name == "xvda" and self.bug == bug

    async def offer(self) -> None:
        if self.has("offer"):
            raise RuntimeError("a bug in offer")
        await super().offer()

    async def connect(self) -> None:
        if self.has("connect"):
            raise ZeroDivisionError
        await super().connect()

    def serve(self) -> None:
        if self.has("serve"):
            raise OSError(errno.ENOSPC, "no room in the poll group")
        super().serve()


@pytest.mark.parametrize("bug", ["offer", "connect", "serve", "options", "open"])
def test_a_bug_ends_one_disk(bug: str) -> None:
    def options_for(disk: DiskConfig) -> ServeOptions:
        if (bug, disk.name) == ("options", "xvda"):
            raise KeyError(bug)
        return ServeOptions(open_store)

    async def open_store(disk: DiskConfig) -> RamStore:
        if (bug, disk.name) == ("open", "xvda"):
            raise OSError(errno.EIO, "a bad medium")
        return RamStore(MIB)

    async def main() -> None:
        guests = Guests()
        await guests.plug("xvda")
        await guests.plug("xvdb")
        broken, healthy = guests.ends["xvda"], guests.ends["xvdb"]
        backend = type("Broken", (Faulty,), {"bug": bug})
        async with VbdService(guests.client, guests.dom0.hypervisor, options_for, backend):
            await use(healthy)
            home = broken.config.backend_path.removeprefix("/local/domain/0/")
            node = f"/local/domain/0/error/{home}/error"
            await broken.wait(lambda: broken.frontend.state.name == "CLOSED", PATIENCE)
            assert await broken.toolstack.read_optional(node)
            await use(healthy)
        for end in guests.ends.values():
            await end.frontend.abort()
        guests.machine.close()

    asyncio.run(main())


@pytest.mark.parametrize(("kind", "threads"), [("ram", 0), ("file", 2)])
def test_only_what_a_disk_may_hold_up_is_handed_to_a_thread(
    kind: str, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file to open it and to look which it is. Each call is a thread that is made for it."""
    image = tmp_path / "image"
    image.write_bytes(bytes(MIB))
    disk = {"kind": "file", "params": str(image)} if kind == "file" else {}
    started: list[str] = []
    start = threading.Thread.start

    def count(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    async def main() -> None:
        guests = Guests()
        await guests.plug("xvda", **disk)
        monkeypatch.setattr(threading.Thread, "start", count)
        async with VbdService(guests.client, guests.dom0.hypervisor):
            await use(guests.ends["xvda"])
            assert len(started) == threads
        await guests.ends["xvda"].frontend.abort()
        guests.machine.close()

    asyncio.run(main())


@pytest.mark.parametrize("logged", [True, False])
def test_another_service_adopts_what_one_has_drained(tmp_path: Path, logged: bool) -> None:
    """With a log also a ring on which there are requests; without one, what is idle."""
    state = tmp_path / "state" if logged else None

    async def main() -> None:
        guests = Guests()
        await guests.plug("xvda")
        end = guests.ends["xvda"]
        store = RamStore(MIB)

        async def open_store(disk: DiskConfig) -> RamStore:
            return store

        def options_for(disk: DiskConfig) -> ServeOptions:
            return ServeOptions(open_store)

        class Kept(ServedDisk):
            async def removed(self) -> None:
                """The store is the test's."""

        queues = []
        for _ in range(3):
            async with VbdService(
                guests.client, guests.dom0.hypervisor, options_for, Kept, state_directory=state
            ) as service:
                if queues and not logged:
                    await end.wait(lambda: any(d.queues for d in service.devices.values()))
                await use(end)
                queues.append(end.frontend.queues)
                (device,) = service.devices.values()
                assert device.state.name == "CONNECTED"
        assert queues[0] == queues[1] == queues[2]
        await end.frontend.abort()
        guests.machine.close()

    asyncio.run(main())


def test_ended_tells_that_xenstore_is_gone() -> None:
    async def main() -> None:
        guests = Guests()
        await guests.plug("xvda")
        client = guests.client
        async with VbdService(client, guests.dom0.hypervisor) as service:
            await use(guests.ends["xvda"])
            client.close()
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(service.ended(), PATIENCE)
        # The next connection serves what is there.
        async with VbdService(guests.client, guests.dom0.hypervisor) as service:
            await use(guests.ends["xvda"])
        await guests.ends["xvda"].frontend.abort()
        guests.machine.close()

    asyncio.run(main())


def test_a_disk_that_comes_later() -> None:
    async def main() -> None:
        guests = Guests()
        await guests.plug("xvda")
        async with VbdService(guests.client, guests.dom0.hypervisor) as service:
            await use(guests.ends["xvda"])
            config = disk_config("xvdc", 1, kind="ram", params="many")
            await add_device(guests.client, config)
            await guests.plug("xvdb")
            await use(guests.ends["xvdb"])
            assert "not a size" in service.devices[config.backend_path].describe()
        for end in guests.ends.values():
            await end.frontend.abort()
        guests.machine.close()

    asyncio.run(main())


class Slow:
    """Options by which one disk opens only when the test lets it, or fails then."""

    def __init__(self, name: str, opens: bool = True) -> None:
        self.name, self.opens = name, opens
        self.opening, self.go_on = asyncio.Event(), asyncio.Event()

    async def open(self, disk: DiskConfig) -> RamStore:
        if disk.name == self.name:
            self.opening.set()
            await self.go_on.wait()
            if not self.opens:
                raise OSError(errno.EIO, "a bad medium")
        return RamStore(MIB)


async def open_small(disk: DiskConfig) -> RamStore:
    return RamStore(MIB)


async def open_larger(disk: DiskConfig) -> RamStore:
    return RamStore(2 * MIB)


async def is_larger(end: VbdPair, service: VbdService) -> None:
    await end.wait(lambda: "4096 sectors" in str(service.devices))


@pytest.mark.parametrize("opens", [True, False])
def test_a_reload_counts_for_a_disk_that_is_being_opened(opens: bool) -> None:
    slow = Slow("xvda", opens)
    before, after = ServeOptions(slow.open), ServeOptions(open_larger)

    async def main() -> None:
        guests = Guests()
        await guests.plug("xvda")
        end = guests.ends["xvda"]
        async with VbdService(guests.client, guests.dom0.hypervisor, lambda _: before) as service:
            await slow.opening.wait()
            reload = asyncio.ensure_future(service.reload(lambda _: after))
            await asyncio.sleep(0)
            slow.go_on.set()
            await reload
            await is_larger(end, service)
        await end.frontend.abort()
        guests.machine.close()

    asyncio.run(main())


def test_a_reload_waits_for_no_disk_that_is_being_opened() -> None:
    """Neither by the options before nor by the new ones."""
    slow, slower = Slow("xvdb"), Slow("xvdb")
    before, between, after = (
        ServeOptions(slow.open),
        ServeOptions(slower.open),
        ServeOptions(open_larger),
    )

    async def main() -> None:
        guests = Guests()
        await guests.plug("xvda")
        async with VbdService(guests.client, guests.dom0.hypervisor, lambda _: before) as service:
            end = guests.ends["xvda"]
            await end.frontend.connected()
            await guests.plug("xvdb")
            await slow.opening.wait()
            await service.reload(lambda _: between)
            await slower.opening.wait()
            await service.reload(lambda _: after)
            await is_larger(end, service)
            await use(guests.ends["xvdb"])
        for end in guests.ends.values():
            await end.frontend.abort()
        guests.machine.close()

    asyncio.run(main())


def test_a_reload_counts_for_a_disk_that_waits_for_its_guest() -> None:
    """Its frontend comes when the new store is open already."""

    async def main() -> None:
        with Machine() as machine:
            dom0, guest = machine.create_domain(privileged=True), machine.create_domain()
            pair = VbdPair(dom0.hypervisor, guest.hypervisor, RamStore(MIB), connect=False)
            async with pair:
                small, larger = ServeOptions(open_small), ServeOptions(open_larger)
                service = VbdService(pair.toolstack, dom0.hypervisor, lambda _: small)
                async with service:
                    await pair.wait(lambda: service.devices)
                    (device,) = service.devices.values()
                    assert isinstance(device, ServedDisk)
                    await device.wait_for(XenbusState.INIT_WAIT)
                    await service.reload(lambda _: larger)
                    await pair.wait(lambda: device._next.base and not device._requests)
                    pair.frontend.start()
                    assert (await pair.frontend.connected()).sectors == 4096
                    await pair.frontend.abort()

    asyncio.run(main())


def test_a_reload_says_what_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pvdrivers.backends")
    small, large = ServeOptions(open_small), ServeOptions(open_larger)
    narrow = ServeOptions(open_small, VbdBackendOptions(max_queues=1))

    async def main() -> None:
        guests = Guests()
        for name in ("xvda", "xvdb", "xvdc", "xvdd"):
            await guests.plug(name)
        plans: dict[str, ServeOptions | None]
        plans = {"xvda": small, "xvdb": small, "xvdc": small, "xvdd": small}
        async with VbdService(
            guests.client, guests.dom0.hypervisor, lambda disk: plans[disk.name]
        ) as service:
            for end in guests.ends.values():
                await use(end)
            paths = {name: end.config.backend_path for name, end in guests.ends.items()}

            async def reload(**changed: ServeOptions | None) -> list[str]:
                caplog.clear()
                plans.update(changed)
                await service.reload(service.options_for)
                return caplog.messages

            assert await reload() == [
                "reload: 0 vbd devices change, 4 stay as they are, 0 are tried again"
            ]
            assert await reload(xvda=large, xvdb=narrow, xvdd=None) == [
                f"{paths['xvda']}: store open_small -> open_larger",
                f"{paths['xvdb']}: max_queues 4 -> 1 from the next connection on",
                f"{paths['xvdd']}: is ignored from now on, but served until it is unplugged",
                "reload: 2 vbd devices change, 2 stay as they are, 0 are tried again",
            ]
            await is_larger(guests.ends["xvda"], service)
            # Limits alone are no reason for another store, which of RAM would be empty.
            assert await guests.ends["xvdb"].frontend.read(8, 1) == b"z" * 512
            del plans["xvdb"]
            assert await reload(xvda=small, xvdd=small) == [
                f"{paths['xvda']}: store open_larger -> open_small",
                f"{paths['xvdb']}: stays as it is: 'xvdb'",
                "reload: 1 vbd devices change, 3 stay as they are, 0 are tried again",
            ]
        for end in guests.ends.values():
            await end.frontend.abort()
        guests.machine.close()

    asyncio.run(main())
