"""The SCSI backend on xenbus, before a guest whose every step the test takes itself: connecting,
LUNs that come and go by the states 7 and 8, units that guests share, and successors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.scsi.device import ScsiBackend
from pvdrivers.backends.scsi.host import HostConfig, ScsiBackendOptions, ServeOptions
from pvdrivers.backends.scsi.service import ScsiService
from pvdrivers.backends.targets.command import Answer
from pvdrivers.ring.abi import Abi
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig, scsi_config
from pvdrivers.scsi.hotplug import add_lun, remove_lun
from pvdrivers.scsi.keys import FrontendRing, lun_state_key
from pvdrivers.scsi.result import HostByte
from pvdrivers.sim import Machine
from pvdrivers.toolstack.devices import (
    DeviceConfig,
    add_device,
    create_domain_directory,
    unplug_device,
)
from pvdrivers.xenbus.keys import QueueKeys
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.store import XenStore
from tests.until import until

from .ring_guest import BLOCK, INQUIRY, LUN_0, PATIENCE, Disk, RingGuest, read_10, write_10

LUN_1 = ScsiAddress(0, 0, 0, 1)
HOLD, HOLD_FAST = bytes.fromhex("c10000000000"), bytes.fromhex("c10100000000")
LUNS_CHANGED = bytes((0x3F, 0x0E))


class Guest(RingGuest):
    """A domain with one virtual host; `state` is its own, `backend` the other end's."""

    def __init__(self, house: House, luns: Sequence[LunConfig], abi: Abi, **host: Any) -> None:
        domain = house.machine.create_domain(abi=abi, memory="16M")
        super().__init__(domain.hypervisor)
        self.domid = domain.domid
        self.config: DeviceConfig = scsi_config(0, domain.domid, luns=luns, **host)
        self.client = XenstoreClient.in_process(house.xenstore, domain.domid)
        self.toolstack = house.toolstack

    async def write(self, key: str, value: object) -> None:
        await self.client.write(f"{self.config.frontend_path}/{key}", str(value))

    async def backend(self, key: str) -> str | None:
        return await self.toolstack.read_optional(f"{self.config.backend_path}/{key}")

    async def see(self, key: str, value: str) -> None:
        """Until the backend's key has that value."""
        async with asyncio.timeout(PATIENCE):
            while await self.backend(key) != value:  # noqa: ASYNC110 - a key at a time
                await asyncio.sleep(0.001)

    async def lun(self, name: str) -> str | None:
        return await self.backend(lun_state_key(name))

    async def publish(self, protocol: str | None = None) -> None:
        ring = FrontendRing(protocol, QueueKeys((self.ring_ref,), self.port))
        for key, value in ring.keys().items():
            await self.write(key, value)
        await self.write("state", 3)

    async def connect(self, protocol: str | None = None) -> None:
        await self.publish(protocol)
        await self.see("state", "4")
        await self.write("state", 4)

    async def connect_with(self, *names: str) -> None:
        await self.connect()
        for name in names:
            await self.see(lun_state_key(name), "4")

    async def reconfigure(self) -> None:
        """What a frontend does when the toolstack changes LUNs."""
        await self.see("state", "7")
        await self.write("state", 7)
        await self.see("state", "8")
        await self.write("state", 4)

    async def error(self) -> str:
        path = self.config.backend_path.removeprefix("/local/domain/0/")
        node = f"/local/domain/0/error/{path}/error"
        return await self.toolstack.read_optional(node) or ""


class House:
    """A machine, its xenstore, and the disks that its dom0 has, by name."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.dom0 = self.machine.create_domain(privileged=True)
        self.xenstore = XenStore()
        self.toolstack = XenstoreClient.in_process(self.xenstore, 0)
        self.disks = {"a": Disk(), "b": Disk()}
        self.opened: list[str] = []
        self.hosts: list[HostConfig] = []
        self.limits = ScsiBackendOptions()

    async def open_unit(self, host: HostConfig, p_dev: str) -> Disk:
        self.hosts.append(host)
        if p_dev not in self.disks:
            raise OSError(f"there is no {p_dev}")
        self.opened.append(p_dev)
        self.disks[p_dev].is_open = True
        return self.disks[p_dev]

    @asynccontextmanager
    async def service(self, state: Path | None = None) -> AsyncIterator[ScsiService]:
        async with ScsiService(
            self.toolstack,
            self.dom0.hypervisor,
            lambda host: ServeOptions(self.open_unit, self.limits),
            state_directory=state,
        ) as service:
            yield service

    async def plug(self, *luns: LunConfig, abi: Abi = Abi.X86_64, **host: Any) -> Guest:
        guest = Guest(self, luns, abi, **host)
        await create_domain_directory(self.toolstack, guest.domid)
        await add_device(self.toolstack, guest.config)
        return guest


def run(scenario: Callable[[House], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        house = House()
        async with asyncio.timeout(3 * PATIENCE):
            await scenario(house)
        house.machine.close()

    asyncio.run(main())


DISK_A, DISK_B = LunConfig("a", LUN_0), LunConfig("b", LUN_1)


# ---- Connecting --------------------------------------------------------------------------------


def test_the_states_of_a_lun_that_is_there_from_the_beginning() -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A)
        async with house.service():
            await guest.see("state", "2")
            assert await guest.backend("feature-sg-grant") == "128"
            assert await guest.lun("dev-0") == "1"
            await guest.publish()
            await guest.see("state", "4")
            assert await guest.lun("dev-0") == "3"
            await guest.write("state", 4)
            await guest.see(lun_state_key("dev-0"), "4")
            assert (await guest.run(read_10(0), room=BLOCK)).word == 0

    run(scenario)


def test_a_frontend_that_does_not_wait_for_the_offer() -> None:
    """Linux publishes its ring at once."""

    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A)
        await guest.publish()
        async with house.service():
            await guest.see("state", "4")
            await guest.write("state", 4)
            await guest.see(lun_state_key("dev-0"), "4")

    run(scenario)


def test_no_lists_are_offered() -> None:
    async def scenario(house: House) -> None:
        house.limits = ScsiBackendOptions(sg_grant=0)
        guest = await house.plug(DISK_A)
        async with house.service():
            await guest.see("state", "2")
            assert await guest.backend("feature-sg-grant") is None

    run(scenario)


def test_what_one_lun_lacks_concerns_that_lun_alone() -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(
            DISK_A, LunConfig("", LUN_1), LunConfig("nothing", LUN_1), DISK_B, LunConfig("b", LUN_0)
        )
        wrong = {"dev-5/state": "1", "dev-5/p-dev": "b", "dev-5/v-dev": "sda"}
        for key, value in wrong.items():
            await house.toolstack.write(f"{guest.config.backend_path}/vscsi-devs/{key}", value)
        async with house.service():
            await guest.connect_with("dev-0", "dev-3")
            for name in ("dev-1", "dev-2", "dev-4", "dev-5"):
                assert await guest.lun(name) == "6", name
            for at in (LUN_0, LUN_1):
                assert (await guest.run(read_10(0), room=BLOCK, at=at)).word == 0

    run(scenario)


def test_a_host_without_luns() -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug()
        async with house.service():
            await guest.connect()
            assert (await guest.run(INQUIRY, room=36)).result.host == HostByte.NO_CONNECT

    run(scenario)


def test_a_whole_host() -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A, feature_host=True)
        async with house.service():
            await guest.connect_with("dev-0")
            assert [host.whole_host for host in house.hosts] == [True]

    run(scenario)


@pytest.mark.parametrize("protocol", [None, "ia64-abi"])
def test_a_guest_with_large_pages(protocol: str | None) -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A, abi=Abi.IA64)
        async with house.service():
            await guest.connect(protocol)
            await guest.see(lun_state_key("dev-0"), "4")
            rqids = [guest.put(read_10(0, 32), room=32 * BLOCK) for _ in range(64)]
            for rqid in rqids:
                assert (await guest.answer(rqid)).word == 0

    run(scenario)


def test_a_guest_that_says_what_is_not_true_of_its_pages() -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A)
        async with house.service():
            await guest.publish("ia64-abi")
            await guest.see("state", "5")
            assert "cannot use ring" in await guest.error()

    run(scenario)


def test_an_initiator_keeps_its_name_when_its_domain_is_another() -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A)
        other = await house.plug(DISK_B)
        await house.toolstack.write(f"/local/domain/{guest.domid}/vm", "/vm/1-2-3")
        async with house.service():
            await guest.connect_with("dev-0")
            await other.connect_with("dev-0")
            assert house.disks["a"].calls == ["attach xen-1-2-3-0"]
            assert house.disks["b"].calls == [f"attach xen-domain-{other.domid}-0"]

    run(scenario)


def test_an_overrun_ring_closes_its_device() -> None:
    async def scenario(house: House) -> None:
        guest, other = await house.plug(DISK_A), await house.plug(DISK_A)
        async with house.service():
            await guest.connect_with("dev-0")
            await other.connect_with("dev-0")
            guest.ring._sring.req_prod += 99
            guest.channels.notify(guest.port)
            await guest.see("state", "5")
            assert "overran its ring" in await guest.error()
            assert (await other.run(read_10(0), room=BLOCK)).word == 0

    run(scenario)


# ---- LUNs that come and go ---------------------------------------------------------------------


def test_a_lun_is_plugged_in() -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A)
        async with house.service():
            await guest.connect_with("dev-0")
            adding = asyncio.create_task(
                add_lun(house.toolstack, guest.config.backend_path, "dev-7", DISK_B, PATIENCE)
            )
            await guest.see("state", "7")
            await guest.write("state", 7)
            await guest.see("state", "8")
            assert [await guest.lun(name) for name in ("dev-0", "dev-7")] == ["4", "3"]
            await guest.write("state", 4)
            assert await adding
            assert (await guest.run(read_10(0), room=BLOCK, at=LUN_1)).word == 0
            answer = await guest.run(INQUIRY, room=36)
            assert answer.data.startswith(f"xen-domain-{guest.domid}-0 (0, 1)".encode())

    run(scenario)


def test_a_lun_that_cannot_be_opened_is_refused_and_the_others_go_on() -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A)
        lun = LunConfig("nothing", LUN_1)
        async with house.service():
            await guest.connect_with("dev-0")
            following = asyncio.create_task(guest.reconfigure())
            back = guest.config.backend_path
            assert not await add_lun(house.toolstack, back, "dev-1", lun, PATIENCE)
            await following
            assert (await guest.run(read_10(0), room=BLOCK)).word == 0

    run(scenario)


def test_a_lun_is_unplugged_when_it_has_answered() -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A, DISK_B)
        disk = house.disks["b"]
        async with house.service():
            await guest.connect_with("dev-0", "dev-1")
            held = guest.put(HOLD, at=LUN_1)
            await until(lambda: disk.held)
            back = guest.config.backend_path
            removing = asyncio.create_task(remove_lun(house.toolstack, back, "dev-1", PATIENCE))
            await guest.see("state", "7")
            await guest.write("state", 7)
            disk.held.pop()[1](Answer())
            assert (await guest.answer(held)).word == 0
            await guest.see("state", "8")
            assert await guest.lun("dev-1") == "6"
            assert not disk.is_open
            assert disk.calls[-1] == f"detach xen-domain-{guest.domid}-0"
            await guest.write("state", 4)
            await removing
            gone = await guest.run(read_10(0), room=BLOCK, at=LUN_1)
            assert gone.result.host == HostByte.NO_CONNECT
            following = asyncio.create_task(guest.reconfigure())
            assert await add_lun(house.toolstack, back, "dev-1", DISK_B, PATIENCE)
            await following
            assert (await guest.run(read_10(0), room=BLOCK, at=LUN_1)).word == 0

    run(scenario)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pvdrivers.backends.scsi.luns.ABORT_AFTER", 0.01)


def test_what_a_lun_that_leaves_does_not_answer_is_aborted(impatient: None) -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A, DISK_B)
        async with house.service():
            await guest.connect_with("dev-0", "dev-1")
            held, waiting = guest.put(HOLD, at=LUN_1), guest.put(INQUIRY, room=36, at=LUN_1)
            following = asyncio.create_task(guest.reconfigure())
            back = guest.config.backend_path
            await remove_lun(house.toolstack, back, "dev-1", PATIENCE)
            await following
            for rqid in (held, waiting):
                assert (await guest.answer(rqid)).result.host == HostByte.ABORT
            assert house.disks["b"].calls[-2:] == ["abort", f"detach xen-domain-{guest.domid}-0"]
            assert not house.disks["b"].is_open

    run(scenario)


def test_what_cannot_be_aborted_holds_up_its_own_unit_alone(impatient: None) -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A, DISK_B)
        disk = house.disks["b"]
        async with house.service() as service:
            await guest.connect_with("dev-0", "dev-1")
            held = guest.put(HOLD_FAST, at=LUN_1)
            await until(lambda: disk.held)
            back = guest.config.backend_path
            for change in (
                remove_lun(house.toolstack, back, "dev-1", PATIENCE),
                add_lun(house.toolstack, back, "dev-2", DISK_B, PATIENCE),
            ):
                following = asyncio.create_task(guest.reconfigure())
                await change
                await following
            assert (await guest.run(write_10(0), b"x" * BLOCK, at=LUN_1)).word == 0
            disk.held.pop()[1](Answer())
            assert (await guest.answer(held)).word == 0
            await until(lambda: disk.calls[-1].startswith("detach"))
            assert service.units.names == ["a", "b"]

    run(scenario)


def test_a_guest_that_closes_does_not_wait_for_what_is_not_answered(impatient: None) -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A)
        async with house.service():
            await guest.connect_with("dev-0")
            held = guest.put(HOLD)
            await until(lambda: house.disks["a"].held)
            await guest.write("state", 5)
            await guest.see("state", "5")
            await guest.write("state", 6)
            await guest.see("state", "6")
            assert (await guest.answer(held)).result.host == HostByte.ABORT

    run(scenario)


def test_the_luns_beside_are_told_of_one_that_comes_or_goes() -> None:
    """Those of the same target, in their next command, and no more than once."""

    async def scenario(house: House) -> None:
        elsewhere = LunConfig("b", ScsiAddress(0, 0, 1, 0))
        guest = await house.plug(DISK_A, elsewhere)
        async with house.service():
            await guest.connect_with("dev-0", "dev-1")
            back = guest.config.backend_path
            for change in (
                add_lun(house.toolstack, back, "dev-7", DISK_B, PATIENCE),
                remove_lun(house.toolstack, back, "dev-7", PATIENCE),
            ):
                following = asyncio.create_task(guest.reconfigure())
                await change
                await following
                answer = await guest.run(read_10(0), room=BLOCK)
                assert (answer.sense[2], answer.sense[12:14]) == (6, LUNS_CHANGED)
                assert (await guest.run(read_10(0), room=BLOCK)).word == 0
                assert (await guest.run(read_10(0), room=BLOCK, at=elsewhere.v_dev)).word == 0

    run(scenario)


# ---- Units that guests share -------------------------------------------------------------------


def test_a_unit_is_opened_once_and_closed_with_its_last_user() -> None:
    async def scenario(house: House) -> None:
        first, second = await house.plug(DISK_A), await house.plug(DISK_A)
        async with house.service() as service:
            for guest in (first, second):
                await guest.connect_with("dev-0")
            assert house.opened == ["a"]
            assert service.units.names == ["a"]
            for guest, others in ((first, ["a"]), (second, [])):
                unplugging = asyncio.create_task(
                    unplug_device(house.toolstack, guest.config, PATIENCE)
                )
                await guest.see("state", "5")
                await guest.write("state", 6)
                assert await unplugging
                await until(lambda others=others: service.units.names == others)
            assert not house.disks["a"].is_open

    run(scenario)


# ---- Other connections -------------------------------------------------------------------------


def test_a_frontend_that_connects_again_finds_its_luns_again() -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A)
        async with house.service():
            for _ in range(2):
                await guest.connect_with("dev-0")
                await guest.write("state", 5)
                await guest.see("state", "5")
                await guest.write("state", 6)
                await guest.see("state", "6")
                await guest.write("state", 1)
                await guest.see("state", "2")
            name = f"xen-domain-{guest.domid}-0"
            assert house.disks["a"].calls == [f"attach {name}", f"detach {name}"] * 2
            assert house.opened == ["a"]

    run(scenario)


def test_a_successor_goes_on_with_the_connection(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A)
        async with house.service(tmp_path):
            await guest.connect_with("dev-0")
        async with house.service(tmp_path):
            rqid = guest.put(read_10(0), room=BLOCK)
            assert (await guest.answer(rqid)).word == 0
            assert (await guest.backend("state"), await guest.lun("dev-0")) == ("4", "4")
            name = f"xen-domain-{guest.domid}-0"
            assert house.disks["a"].calls == [f"attach {name}"] * 2  # none has lost its nexus

    run(scenario)


def test_a_successor_in_the_middle_of_a_reconfiguration_starts_over(tmp_path: Path) -> None:
    """And the LUN that was to come is there when the frontend connects again."""

    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A)
        async with house.service(tmp_path):
            await guest.connect_with("dev-0")
            for key, value in DISK_B.keys("dev-1").items():
                await house.toolstack.write(f"{guest.config.backend_path}/{key}", value)
            await house.toolstack.write(f"{guest.config.backend_path}/state", "7")
        async with house.service(tmp_path):
            await guest.see("state", "1")
            await guest.write("state", 1)
            await guest.see("state", "2")
            await guest.connect_with("dev-0", "dev-1")
            assert (await guest.run(read_10(0), room=BLOCK, at=LUN_1)).word == 0

    run(scenario)


def test_what_is_told_of_a_host() -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A)
        async with house.service() as service:
            await guest.connect_with("dev-0")
            await guest.run(b"", act=99)
            [device] = service.devices.values()
            assert isinstance(device, ScsiBackend)
            status = device.status()
            lun = {"p_dev": "a", "v_dev": "0:0:0:0", "unit": "<Disk>"}
            assert status["luns"] == [lun | {"kind": "other", "medium": ""}]
            assert status["counters"]["bad_act"] == 1
            assert device.describe().endswith("connected, peer connected, 1 LUN")

    run(scenario)


def test_options_are_exchanged_for_what_comes(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        guest = await house.plug(DISK_A)

        async def open_other(host: HostConfig, p_dev: str) -> Disk:
            return house.disks["b"]

        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(house.service())
            await guest.connect_with("dev-0")
            await service.reload(lambda host: ServeOptions(open_other))
            following = asyncio.create_task(guest.reconfigure())
            lun = LunConfig("nothing", LUN_1)
            back = guest.config.backend_path
            assert await add_lun(house.toolstack, back, "dev-1", lun, PATIENCE)
            await following
            assert (await guest.run(read_10(0), room=BLOCK, at=LUN_1)).word == 0

    run(scenario)
