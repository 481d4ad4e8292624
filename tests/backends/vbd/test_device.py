"""The block backend against frontends that break every rule, and the other way round."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.loop import LoopDriver
from pvdrivers.poll.threads import PollThreads
from pvdrivers.ring.errors import PeerError
from pvdrivers.sim import Machine
from pvdrivers.testing.vbd.pair import VbdPair
from pvdrivers.vbd.features import FrontendFeatures
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient

SECTORS = 2048


class Ram:
    def __init__(self) -> None:
        self.pointer = lib.pv_ram_store_create(SECTORS, 512)


class Guest:
    """A frontend made by hand: one granted ring page, one port, and whatever keys it likes."""

    def __init__(self, disk: VbdPair, hypervisor: Hypervisor) -> None:
        self.path = disk.config.frontend_path
        self.back_path = disk.config.backend_path
        self.client = XenstoreClient.in_process(disk.xenstore, hypervisor.domid)
        self.page = hypervisor.allocate_pages(1)
        self.ring = ffi.cast("struct pv_sring *", self.page.address)
        self.ring.req_event = self.ring.rsp_event = 1
        self.ref = hypervisor.grant_access(0, self.page.address)
        self.channels = hypervisor.open_event_channels()
        self.port = self.channels.bind_unbound_port(0)

    @property
    def keys(self) -> dict[str, str]:
        """What a correct frontend would write."""
        return {
            "ring-ref": str(self.ref),
            "event-channel": str(self.port),
            "protocol": "x86_64-abi",
        }

    async def publish(self, keys: dict[str, str | None]) -> None:
        """Writes the valid keys with changes (None: not written), and goes to Initialised."""
        for key, value in {**self.keys, **keys}.items():
            if value is not None:
                await self.client.write(f"{self.path}/{key}", value)
        await self.state(XenbusState.INITIALISED)

    async def state(self, state: XenbusState) -> None:
        await self.client.write(f"{self.path}/state", str(int(state)))


Body = Callable[[VbdPair, Guest], Awaitable[None]]


def run(body: Body, threads: PollThreads | None = None, **loopback: Any) -> None:
    """Runs `body` beside a second disk, which must not notice; `threads` serve both, or the loop
    does."""

    def pumped(disk: VbdPair) -> VbdPair:
        if threads:
            disk.backend.driver = threads
        return disk

    with Machine() as machine:
        dom0 = machine.create_domain(privileged=True)
        guest, other = machine.create_domain(), machine.create_domain()

        async def main() -> None:
            bad = VbdPair(dom0.hypervisor, guest.hypervisor, Ram(), connect=False, **loopback)
            async with bad as disk:
                good = VbdPair(
                    dom0.hypervisor, other.hypervisor, Ram(), xenstore=disk.xenstore, connect=False
                )
                async with good as bystander:
                    pumped(bystander).backend.start()
                    bystander.frontend.start()
                    await bystander.frontend.connected()
                    pumped(disk).backend.start()
                    await disk.backend.wait_for(XenbusState.INIT_WAIT)
                    await body(disk, Guest(disk, guest.hypervisor))
                    await bystander.frontend.write(0, b"unharmed" * 64)
                    assert await bystander.frontend.read(0, 1) == b"unharmed" * 64
                    assert bystander.backend.peer_errors == 0

        with asyncio.Runner() as runner:
            runner.run(asyncio.wait_for(main(), 30))
        accounts = dom0.accounts
        assert accounts["grants_mapped"] == accounts["grants_unmapped"]


async def refused(disk: VbdPair, why: str) -> None:
    await disk.backend.wait_for(XenbusState.CLOSING)
    node = f"/local/domain/0/error/backend/vbd/{disk.config.frontend_domid}/51712/error"
    assert why in await disk.toolstack.read_str(node)
    assert disk.backend.peer_errors == 1
    assert not disk.backend.finished


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"ring-ref": "garbage"}, "ring-ref"),
        ({"ring-ref": None}, "ring-ref is missing"),
        ({"ring-ref": "-1"}, "ring-ref"),
        ({"ring-ref": "4294967296"}, "ring-ref"),
        ({"ring-ref": "4000000000"}, "cannot use ring"),
        ({"ring-ref": "9"}, "cannot use ring"),
        ({"event-channel": "garbage"}, "event-channel"),
        ({"event-channel": None}, "event-channel is missing"),
        ({"event-channel": "99999"}, "cannot use ring"),
        ({"event-channel": "0"}, "cannot use ring"),
        ({"protocol": "ia64-abi"}, "cannot use ring"),  # its pages have 4 KiB
        ({"event-channel": "4294967295"}, "cannot use ring"),
        ({"protocol": "vax-abi"}, "protocol"),
        ({"protocol": "x" * 2000}, "protocol"),
        ({"ring-page-order": "99"}, "ring page order 99"),
        ({"ring-page-order": "1"}, "ring-ref0 is missing"),
        ({"num-ring-pages": "3"}, "num-ring-pages"),
        ({"multi-queue-num-queues": "0"}, "multi-queue-num-queues"),
        ({"multi-queue-num-queues": "4000000000"}, "multi-queue-num-queues"),
        ({"multi-queue-num-queues": "2"}, "queue-0/ring-ref is missing"),
        ({"feature-persistent": "\xff\xfe"}, "feature-persistent"),
    ],
)
def test_bad_keys_close_this_device_only(keys: dict[str, str | None], why: str) -> None:
    async def body(disk: VbdPair, guest: Guest) -> None:
        await guest.publish(keys)
        await refused(disk, why)

    run(body)


def test_a_second_queue_that_cannot_be_mapped_leaves_the_first_unmapped() -> None:
    async def body(disk: VbdPair, guest: Guest) -> None:
        await guest.publish(
            {
                "multi-queue-num-queues": "2",
                "queue-0/ring-ref": str(guest.ref),
                "queue-0/event-channel": str(guest.port),
                "queue-1/ring-ref": "12345",
                "queue-1/event-channel": str(guest.port),
            }
        )
        await refused(disk, "cannot use ring [12345]")

    run(body)


def test_a_mended_frontend_may_come_back() -> None:
    async def body(disk: VbdPair, guest: Guest) -> None:
        await guest.publish({"protocol": "vax-abi"})
        await refused(disk, "protocol")
        await guest.state(XenbusState.CLOSED)
        await disk.backend.wait_for(XenbusState.CLOSED)
        disk.frontend.start()
        await disk.frontend.connected()
        await disk.frontend.write(0, bytes(512))

    run(body)


def test_legacy_frontend_without_protocol() -> None:
    async def body(disk: VbdPair, guest: Guest) -> None:
        await guest.publish({"protocol": None})
        await disk.backend.wait_for(XenbusState.CONNECTED)
        assert disk.backend.head
        assert disk.backend.head.layout.protocol == "x86_64-abi"

    run(body, options=VbdBackendOptions(default_protocol="x86_64-abi"))


@pytest.mark.parametrize("threads", [0, 1])
def test_a_ring_overrun_closes_the_device_in_order(
    threads: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The frontend comes back and does it again: each time costs one line in the log and does not
    affect another disk (`run` has one)."""
    rounds = 20

    async def body(disk: VbdPair, guest: Guest) -> None:
        files = None
        for count in range(1, rounds + 1):
            guest.ring.req_prod = 0 if count % 2 else 1000  # 1000: overrun from the beginning
            guest.ring.rsp_prod = 0
            await guest.publish({})
            if count % 2:
                await disk.backend.wait_for(XenbusState.CONNECTED)
                guest.ring.req_prod = 1000
                for _ in range(100):
                    guest.channels.notify(guest.port)
            await disk.backend.wait_for(XenbusState.CLOSING)
            assert disk.backend.peer_errors == count
            assert disk.backend.broken_rings == (count + 1) // 2
            assert not disk.backend.queues
            node = f"/local/domain/0/error/backend/vbd/{disk.config.frontend_domid}/51712/error"
            why = "overran its ring (queue 0)" if count % 2 else "cannot use ring"
            assert why in await disk.toolstack.read_str(node)
            files = files or len(os.listdir("/proc/self/fd"))
            assert len(os.listdir("/proc/self/fd")) == files
            # The frontend may connect again.
            await guest.state(XenbusState.CLOSED)
            await disk.backend.wait_for(XenbusState.CLOSED)
            await guest.state(XenbusState.INITIALISING)
            await disk.backend.wait_for(XenbusState.INIT_WAIT)
        guest.ring.req_prod = 0
        await guest.publish({})
        await disk.backend.wait_for(XenbusState.CONNECTED)
        assert await unplugged(disk, guest)

    if threads:
        with PollThreads(threads) as driver:
            run(body, driver)
    else:
        run(body)
    assert len(caplog.messages) == rounds
    assert all("its ring" in line or "cannot use ring" in line for line in caplog.messages)


def test_one_overrun_ring_of_several_closes_the_device() -> None:
    with Machine() as machine, PollThreads(2) as threads:
        dom0, guest = machine.create_domain(privileged=True), machine.create_domain()
        features = FrontendFeatures(max_queues=4, max_ring_page_order=0, max_indirect_segments=0)

        async def main() -> None:
            disk = VbdPair(
                dom0.hypervisor, guest.hypervisor, Ram(), features=features, connect=False
            )
            async with disk:
                disk.backend.driver = threads
                disk.backend.start()
                disk.frontend.start()
                await disk.frontend.connected()
                await disk.backend.wait_for(XenbusState.CONNECTED)
                assert len(disk.backend.queues) == 4
                front = disk.config.frontend_path
                ref = int(await disk.toolstack.read_str(f"{front}/queue-2/ring-ref"))
                port = int(await disk.toolstack.read_str(f"{front}/queue-2/event-channel"))
                page = dom0.hypervisor.map_grants(guest.domid, [ref])
                ffi.cast("struct pv_sring *", page.address).req_prod = 1000
                dom0.hypervisor.unmap_grants(page)
                disk.frontend.channels.notify(port)
                await disk.backend.wait_for(XenbusState.CLOSING)
                assert disk.backend.last_error == "the frontend overran its ring (queue 2)"
                await disk.frontend.wait_for(XenbusState.CLOSED)
                await disk.backend.wait_for(XenbusState.CLOSED)
                disk.frontend.resume()
                assert await disk.frontend.read(0, 8) == bytes(8 * 512)
                assert disk.backend.broken_rings == disk.backend.peer_errors == 1

        asyncio.run(main())
        accounts = dom0.accounts
        assert accounts["grants_mapped"] == accounts["grants_unmapped"]


async def unplugged(disk: VbdPair, guest: Guest) -> bool:
    """Unplugs a hand-made frontend, which plays along."""
    unplugging = asyncio.create_task(disk.unplug())
    await disk.backend.wait_for(XenbusState.CLOSING)
    await guest.state(XenbusState.CLOSED)
    return await unplugging


def test_a_storm_of_events_without_work_is_handled_less_and_less() -> None:
    async def body(disk: VbdPair, guest: Guest) -> None:
        await guest.publish({})
        await disk.backend.wait_for(XenbusState.CONNECTED)
        for _ in range(2_000):
            guest.channels.notify(guest.port)
            await asyncio.sleep(0)
        assert isinstance(disk.backend.driver, LoopDriver)
        assert 2 <= disk.backend.driver.spurious_events < 200

    run(body)


def test_hotplug_script_is_waited_for() -> None:
    async def body(disk: VbdPair, guest: Guest) -> None:
        await guest.publish({})
        await disk.wait(lambda: disk.backend.peer_state is XenbusState.INITIALISED)
        assert disk.backend.state is XenbusState.INIT_WAIT
        await disk.toolstack.write(f"{guest.back_path}/hotplug-status", "connected")
        await disk.backend.wait_for(XenbusState.CONNECTED)

    run(body, options=VbdBackendOptions(wait_for_hotplug=True))


def test_mode_is_the_toolstacks_not_the_guests() -> None:
    """XSA-142: a disk given read-only stays so."""

    async def body(disk: VbdPair, guest: Guest) -> None:
        await guest.client.write(f"{guest.path}/mode", "w")
        await guest.publish({})
        await disk.backend.wait_for(XenbusState.CONNECTED)
        assert await disk.toolstack.read_str(f"{guest.back_path}/info") == "4"
        assert "mode r" in disk.backend.describe()

    run(body, writable=False)


def test_published_keys() -> None:
    async def body(disk: VbdPair, guest: Guest) -> None:
        async def keys() -> dict[str, str]:
            names = await disk.toolstack.directory(guest.back_path)
            read = disk.toolstack.read_str
            return {name: await read(f"{guest.back_path}/{name}") for name in names}

        early = await keys()
        assert early["feature-max-indirect-segments"] == "256"
        assert early["multi-queue-max-queues"] == "4"
        assert (early["max-ring-page-order"], early["max-ring-pages"]) == ("4", "16")
        assert "sectors" not in early
        await guest.publish({})
        await disk.backend.wait_for(XenbusState.CONNECTED)
        late = await keys()
        assert late["sectors"] == str(SECTORS)
        assert late["sector-size"] == late["physical-sector-size"] == "512"
        for key in ("feature-flush-cache", "feature-barrier", "feature-discard", "discard-secure"):
            assert late[key] == "1"
        assert late["feature-persistent"] == "1"
        assert "feature-large-sector-size" not in late

    run(body)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"ring_page_keys": "x"}, {"max_queues": 0}, {"max_ring_page_order": 5},
     {"max_indirect_segments": 4097}, {"default_protocol": "vax"}],
)  # fmt: skip
def test_options(wrong: dict[str, Any]) -> None:
    if not wrong:
        assert VbdBackendOptions().max_indirect_segments == 256
        return
    with pytest.raises(ValueError, match=next(iter(wrong))):
        VbdBackendOptions(**wrong)


# ---- a frontend against hostile backends -----------------------------------------------------


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ({"max-ring-page-order": "many"}, {}),
        ({"multi-queue-max-queues": "-1"}, {}),
        ({}, {}),
        ({}, {"sectors": "1e9"}),
        ({}, {"sectors": "100", "sector-size": "100"}),
        ({}, {"sectors": "100", "info": "x"}),
        ({}, {"sectors": "100", "feature-flush-cache": "\x00"}),
    ],
)
def test_frontend_refuses_a_backends_bad_keys(early: dict[str, str], late: dict[str, str]) -> None:
    with Machine() as machine:
        dom0, guest = machine.create_domain(privileged=True), machine.create_domain()

        async def main() -> None:
            disk = VbdPair(dom0.hypervisor, guest.hypervisor, Ram(), connect=False)
            async with disk:
                path, client = disk.config.backend_path, disk.toolstack
                for key, value in {**early, "state": "2"}.items():
                    await client.write(f"{path}/{key}", value)
                disk.frontend.start()
                if not early:
                    await disk.frontend.wait_for(XenbusState.INITIALISED)
                    for key, value in {**late, "state": "4"}.items():
                        await client.write(f"{path}/{key}", value)
                await disk.frontend.wait_for(XenbusState.CLOSING)
                assert disk.frontend.peer_errors == 1
                node = f"/local/domain/{guest.domid}/error/device/vbd/51712/error"
                assert await client.read_str(node)
                await client.write(f"{path}/state", "6")
                await disk.frontend.wait_for(XenbusState.CLOSED)

        with asyncio.Runner() as runner:
            runner.run(asyncio.wait_for(main(), 30))


def test_frontend_survives_a_backend_that_overruns_the_ring() -> None:
    with Machine() as machine:
        dom0, guest = machine.create_domain(privileged=True), machine.create_domain()

        async def main() -> None:
            disk = VbdPair(dom0.hypervisor, guest.hypervisor, Ram(), connect=False)
            async with disk:
                path, client = disk.config.backend_path, disk.toolstack
                await client.write(f"{path}/state", "2")
                disk.frontend.start()
                await disk.frontend.wait_for(XenbusState.INITIALISED)
                front = disk.config.frontend_path
                ref = int(await client.read_str(f"{front}/ring-ref"))
                port = int(await client.read_str(f"{front}/event-channel"))
                page = dom0.hypervisor.map_grants(guest.domid, [ref])
                channels = dom0.hypervisor.open_event_channels()
                local = channels.bind_interdomain(guest.domid, port)
                await client.write(f"{path}/sectors", "2048")
                await client.write(f"{path}/state", "4")
                await disk.frontend.connected()
                pending = asyncio.create_task(disk.frontend.read(0, 8))
                await asyncio.sleep(0)
                ffi.cast("struct pv_sring *", page.address).rsp_prod = 7
                channels.notify(local)
                await disk.frontend.wait_for(XenbusState.CLOSING)
                assert disk.frontend.broken_rings == 1
                with pytest.raises(OSError, match="Input/output"):
                    await pending
                with pytest.raises(OSError, match="ring protocol"):
                    await disk.frontend.read(0, 8)
                dom0.hypervisor.unmap_grants(page)
                channels.close()
                await client.write(f"{path}/state", "6")
                await disk.frontend.wait_for(XenbusState.CLOSED)
                # A correct backend takes over.
                disk.backend.start()
                await disk.wait(lambda: disk.frontend.state is not XenbusState.CLOSED)
                await disk.frontend.connected()
                assert await disk.frontend.read(0, 8) == bytes(8 * 512)

        with asyncio.Runner() as runner:
            runner.run(asyncio.wait_for(main(), 30))


def test_connected_says_why_not() -> None:
    with Machine() as machine:
        dom0, guest = machine.create_domain(privileged=True), machine.create_domain()

        async def main() -> None:
            disk = VbdPair(dom0.hypervisor, guest.hypervisor, Ram(), connect=False)
            async with disk:
                disk.frontend.start()
                waiting = asyncio.create_task(disk.frontend.connected())
                await disk.frontend.wait_for(XenbusState.INITIALISING)
                await disk.unplug_forced()
                with pytest.raises(PeerError, match="removed"):
                    await waiting
                await disk.plug()
                assert isinstance(disk.new_frontend(), VbdFrontend)

        with asyncio.Runner() as runner:
            runner.run(asyncio.wait_for(main(), 30))
