"""Many disks of one domain: one disk's trouble stays its own."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.vbd.service import Disk, DiskPlan, ServedDisk, VbdService
from pvdrivers.backends.vbd.store import RamStore
from pvdrivers.sim import Machine
from pvdrivers.testing.vbd import VbdLoopback
from pvdrivers.vbd.config import disk_config
from pvdrivers.xenbus.toolstack import add_device
from pvdrivers.xenstore.client import XenstoreClient

PATIENCE = 20.0
MIB = 1 << 20


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
            raise OSError(errno.ENOSPC, "no room among the pumps")
        super().serve()


class Guests:
    """Two disks, xvda and xvdb, each of a guest of its own, and what serves them."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.dom0 = self.machine.create_domain(privileged=True)
        self.ends: dict[str, VbdLoopback] = {}

    async def plug(self, name: str, **disk: Any) -> None:
        guest = self.machine.create_domain()
        xenstore = next(iter(self.ends.values())).xenstore if self.ends else None
        end = VbdLoopback(
            self.dom0.hypervisor, guest.hypervisor, RamStore(MIB), name=name, xenstore=xenstore,
            kind="ram", params=str(MIB), connect=False, **disk,
        )  # fmt: skip
        self.ends[name] = await end.__aenter__()
        end.frontend.start()

    @property
    def client(self) -> XenstoreClient:
        return XenstoreClient.in_process(self.ends["xvda"].xenstore, self.dom0.domid)


async def use(end: VbdLoopback) -> None:
    async with asyncio.timeout(PATIENCE):
        await end.frontend.connected()
        await end.frontend.write(8, b"z" * 512)
        assert await end.frontend.read(8, 1) == b"z" * 512


@pytest.mark.parametrize("bug", ["offer", "connect", "serve", "plan", "open"])
def test_a_bug_ends_one_disk(bug: str) -> None:
    def plan(disk: Disk) -> DiskPlan:
        if (bug, disk.name) == ("plan", "xvda"):
            raise KeyError(bug)
        return DiskPlan(open_store)

    async def open_store(disk: Disk) -> RamStore:
        if (bug, disk.name) == ("open", "xvda"):
            raise OSError(errno.EIO, "a bad medium")
        return RamStore(MIB)

    async def main() -> None:
        guests = Guests()
        await guests.plug("xvda")
        await guests.plug("xvdb")
        broken, sound = guests.ends["xvda"], guests.ends["xvdb"]
        backend = type("Broken", (Faulty,), {"bug": bug})
        async with VbdService(guests.client, guests.dom0.hypervisor, plan, backend):
            await use(sound)
            home = broken.config.backend_path.removeprefix("/local/domain/0/")
            node = f"/local/domain/0/error/{home}/error"
            await broken.wait(lambda: broken.frontend.state.name == "CLOSED", PATIENCE)
            assert await broken.toolstack.read_optional(node)
            await use(sound)
        for end in guests.ends.values():
            await end.frontend.abort()
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

        async def open_store(disk: Disk) -> RamStore:
            return store

        def plan(disk: Disk) -> DiskPlan:
            return DiskPlan(open_store)

        class Kept(ServedDisk):
            async def removed(self) -> None:
                """The store is the test's."""

        queues = []
        for _ in range(3):
            async with VbdService(
                guests.client, guests.dom0.hypervisor, plan, Kept, state
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
    """A plan by which one disk opens only when it may, or fails then."""

    def __init__(self, name: str, opens: bool = True) -> None:
        self.name, self.opens = name, opens
        self.opening, self.go_on = asyncio.Event(), asyncio.Event()

    async def open(self, disk: Disk) -> RamStore:
        if disk.name == self.name:
            self.opening.set()
            await self.go_on.wait()
            if not self.opens:
                raise OSError(errno.EIO, "a bad medium")
        return RamStore(MIB)


async def open_larger(disk: Disk) -> RamStore:
    return RamStore(2 * MIB)


async def is_larger(end: VbdLoopback, service: VbdService) -> None:
    await end.wait(lambda: "4096 sectors" in str(service.devices))


@pytest.mark.parametrize("opens", [True, False])
def test_a_reload_counts_for_a_disk_that_is_being_opened(opens: bool) -> None:
    slow = Slow("xvda", opens)
    before, after = DiskPlan(slow.open), DiskPlan(open_larger)

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


def test_a_reload_does_not_wait_for_a_disk_that_is_being_opened() -> None:
    slow = Slow("xvdb")
    before, after = DiskPlan(slow.open), DiskPlan(open_larger)

    async def main() -> None:
        guests = Guests()
        await guests.plug("xvda")
        async with VbdService(guests.client, guests.dom0.hypervisor, lambda _: before) as service:
            end = guests.ends["xvda"]
            await end.frontend.connected()
            await guests.plug("xvdb")
            await slow.opening.wait()
            reload = asyncio.ensure_future(service.reload(lambda _: after))
            await is_larger(end, service)
            assert not reload.done()
            slow.go_on.set()
            await reload
        for end in guests.ends.values():
            await end.frontend.abort()
        guests.machine.close()

    asyncio.run(main())
