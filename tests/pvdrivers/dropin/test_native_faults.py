"""pvbackd over the Xen libraries' names, when what it stands on fails: the device closes by the
book, and the daemon goes on with the others."""

import asyncio
import errno
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.frontends.vbd.operations import read
from pvdrivers.hypervisor import HypervisorError
from pvdrivers.sim import Domain
from pvdrivers.toolstack.devices import (
    DeviceConfig,
    add_device,
    create_domain_directory,
    destroy_device,
)
from pvdrivers.vbd.config import disk_config
from pvdrivers.vbd.features import FrontendFeatures
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore import XenStore, XenstoreClient
from pvdrivers.xenstore.server import SocketServer

PVBACKD = (sys.executable, "-m", "pvdrivers.tools.pvbackd")
SIZE = 1 << 20
FEATURES = FrontendFeatures(max_ring_page_order=0, max_indirect_segments=0)


class Yard:
    """A daemon in dom0 that serves a correct guest all the while."""

    def __init__(self, world: Any, stack: AsyncExitStack) -> None:
        self.world = world
        self.stack = stack
        self.store = XenStore()
        self.toolstack = XenstoreClient.in_process(self.store, 0)
        self.server = SocketServer(self.store, str(world.folder / "xenstored"))
        self.neighbour: VbdFrontend
        self.rounds = 0

    async def start(self) -> None:
        await self.server.__aenter__()
        await self.toolstack.write("/local/domain/0/domid", "0")
        self.daemon = self.world.start(0, *PVBACKD)
        self.stack.push_async_callback(self.stop)
        guest = self.world.machine.create_domain(memory="16M")
        self.neighbour = await self.plugged(guest)
        await self.neighbour.connected()

    async def stop(self) -> None:
        self.daemon.kill()
        await asyncio.to_thread(self.daemon.communicate)
        await self.neighbour.abort()
        await self.server.__aexit__()

    async def plug(self, guest: Domain) -> DeviceConfig:
        image = Path(self.world.folder) / f"disk{guest.domid}"
        image.write_bytes(bytes(SIZE))
        config = disk_config("xvda", guest.domid, kind="phy", params=str(image))
        await create_domain_directory(self.toolstack, guest.domid)
        await add_device(self.toolstack, config)
        return config

    async def plugged(self, guest: Domain) -> VbdFrontend:
        """A frontend for a new disk, started."""
        config = await self.plug(guest)
        client = XenstoreClient.in_process(self.store, guest.domid)
        frontend = VbdFrontend(client, config.frontend_path, guest.hypervisor, FEATURES)
        frontend.start()
        return frontend

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        while not await condition():  # noqa: ASYNC110 - it is another process's doing
            await asyncio.sleep(0.005)

    async def state(self, config: DeviceConfig) -> str | None:
        return await self.toolstack.read_optional(f"{config.backend_path}/state")

    async def goes_on(self) -> None:
        """The daemon, and the neighbour's disk."""
        assert self.daemon.poll() is None
        self.rounds += 1
        salt = bytes([self.rounds])
        await self.neighbour.write(8, salt * 4096)
        assert await self.neighbour.read(8, 8) == salt * 4096


def run(world: Any, body: Callable[[Yard], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), AsyncExitStack() as stack:
            yard = Yard(world, stack)
            await yard.start()
            await body(yard)

    asyncio.run(main())


def handles(world: Any) -> int:
    """Grants that dom0 has mapped."""
    return int(lib.pv_gnttab_handles(world.machine.cdata, 0))


class Guest:
    """A frontend by hand, with one page that is granted or not."""

    def __init__(self, yard: Yard, domain: Domain, config: DeviceConfig) -> None:
        self.yard = yard
        self.domain = domain
        self.config = config
        hypervisor = domain.hypervisor
        self.page = hypervisor.allocate_pages(1)
        self.ring = ffi.cast("struct pv_sring *", self.page.address)
        self.ring.req_event = self.ring.rsp_event = 1
        self.ref = hypervisor.grant_access(0, self.page.address)
        self.channels = hypervisor.open_event_channels()
        self.port = self.channels.bind_unbound_port(0)

    async def publish(self, **changes: int) -> None:
        keys = {"ring-ref": self.ref, "event-channel": self.port} | {
            key.replace("_", "-"): value for key, value in changes.items()
        }
        await self.yard.until(self.offered)
        client = XenstoreClient.in_process(self.yard.store, self.domain.domid)
        for key, value in {**keys, "protocol": "x86_64-abi", "state": 3}.items():
            await client.write(f"{self.config.frontend_path}/{key}", str(value))

    async def offered(self) -> bool:
        return await self.yard.state(self.config) == "2"

    def request(self, ref: int) -> None:
        """One read of 4 KiB into the page of that grant."""
        request = ffi.new("struct pv_blkif_request *", {"nr_segments": 1, "id": 7})
        request.seg[0] = {"gref": ref, "first_sect": 0, "last_sect": 7}
        slot = ffi.cast("uint8_t *", self.page.address) + 64
        lib.pv_blkif_encode_request(0, request, slot)
        self.ring.req_prod = 1
        self.channels.notify(self.port)


@pytest.mark.parametrize("key", ["ring_ref", "event_channel"])
def test_a_ring_or_port_that_is_not_there(world, key: str) -> None:
    async def body(yard: Yard) -> None:
        before = handles(world)
        guest = Guest(yard, world.guest, await yard.plug(world.guest))
        await guest.publish(**{key: 3999})

        async def refused() -> bool:
            return await yard.state(guest.config) == "5"

        await yard.until(refused)
        where = f"/local/domain/0/error/backend/vbd/{world.guest.domid}/51712/error"
        assert "cannot use ring" in await yard.toolstack.read_str(where)
        assert handles(world) == before
        await yard.goes_on()

    run(world, body)


def test_data_that_cannot_be_mapped_is_an_error_answer(world) -> None:
    async def body(yard: Yard) -> None:
        guest = Guest(yard, world.guest, await yard.plug(world.guest))
        await guest.publish()

        async def connected() -> bool:
            return await yard.state(guest.config) == "4"

        async def answered() -> bool:
            return guest.ring.rsp_prod == 1

        await yard.until(connected)
        guest.request(3999)
        await yard.until(answered)
        response = ffi.new("struct pv_blkif_response *")
        slot = ffi.cast("uint8_t *", guest.page.address) + 64
        lib.pv_blkif_decode_response(0, slot, response)
        assert (response.id, response.status) == (7, lib.BLKIF_RSP_ERROR)
        assert await connected()
        await yard.goes_on()

    run(world, body)


def test_a_guest_that_vanishes_in_the_middle(world) -> None:
    """Its memory, its grants and its directories go while requests are under way."""

    async def body(yard: Yard) -> None:
        before = handles(world)
        domain = world.machine.create_domain(memory="16M")
        frontend = await yard.plugged(domain)
        await frontend.connected()
        reads = asyncio.create_task(frontend.submit([read(0, 8) for _ in range(2000)]))
        await asyncio.sleep(0.002)
        await frontend.abort()
        await asyncio.gather(reads, return_exceptions=True)
        domain.destroy()
        config = disk_config("xvda", domain.domid)
        await destroy_device(yard.toolstack, config)

        async def let_go() -> bool:
            return handles(world) == before

        await yard.until(let_go)
        await yard.goes_on()

    run(world, body)


def test_a_full_event_channel_table(world) -> None:
    async def body(yard: Yard) -> None:
        before = handles(world)
        greedy = world.dom0.hypervisor.open_event_channels()
        try:
            while True:
                greedy.bind_unbound_port(world.guest.domid)
        except HypervisorError as full:
            assert full.errno == errno.ENOSPC
        frontend = await yard.plugged(world.guest)
        config = disk_config("xvda", world.guest.domid)

        async def closed() -> bool:
            return await yard.state(config) in ("5", "6")

        await yard.until(closed)
        where = f"/local/domain/0/error/backend/vbd/{world.guest.domid}/51712/error"
        assert "No space left on device" in await yard.toolstack.read_str(where)
        assert handles(world) == before
        await yard.goes_on()
        greedy.close()
        await frontend.wait_for(XenbusState.CLOSED)
        frontend.resume()  # as a user does who tries again
        await frontend.wait_for(XenbusState.CONNECTED)
        assert await frontend.read(0, 8) == bytes(4096)
        await frontend.abort()

    run(world, body)


@pytest.mark.slow
@pytest.mark.parametrize("under_way", [0, 2000])
def test_a_store_connection_that_drops(world, under_way: int) -> None:
    """The daemon releases the disk, connects again and takes it up: with its rings when nothing was
    in flight, else with new ones, and the frontend issues its requests again."""

    async def body(yard: Yard) -> None:
        await yard.goes_on()
        reads = [read(8, 8) for _ in range(under_way)]
        pending = asyncio.create_task(yard.neighbour.submit(reads))
        await asyncio.sleep(0)
        await yard.server.__aexit__()
        await asyncio.sleep(0.05)
        await yard.server.__aenter__()
        await pending
        assert not any(operation.status for operation in reads)
        assert len({operation.data for operation in reads}) <= 1
        await yard.goes_on()
        assert await yard.neighbour.read(8, 8) != bytes(4096)

    run(world, body)
