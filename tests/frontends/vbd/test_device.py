"""A frontend and a backend on a simulated machine: every ABI, every shape of ring, every ending."""

import asyncio
import errno
import itertools
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.frontends.vbd.operations import Operation, discard, flush, read, write
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine
from pvdrivers.sim.loop import DeterministicLoop
from pvdrivers.testing.vbd.pair import VbdPair
from pvdrivers.vbd.features import FrontendFeatures
from pvdrivers.xenbus.states import XenbusState

SECTORS = 8192
KINDS = tuple(Abi)


class Ram:
    """A ram store, and its memory to compare with."""

    def __init__(self, sector_size: int = 512) -> None:
        self.pointer = lib.pv_ram_store_create(SECTORS, sector_size)
        assert self.pointer != ffi.NULL

    def content(self, sector: int, count: int) -> bytes:
        memory = self.pointer.ops.memory(self.pointer, sector, count)
        return bytes(ffi.buffer(memory, count * 512))

    def close(self) -> None:
        lib.pv_blk_store_close(self.pointer)


def stop_polling(disk: VbdPair) -> None:
    """The backend looks at its rings no more."""
    for queue in disk.backend.queues:
        disk.backend.driver.remove(queue.pollable)


def pattern(sectors: int, salt: int = 0) -> bytes:
    return b"".join(
        (i * 2654435761 + salt).to_bytes(8, "little", signed=False) * 64 for i in range(sectors)
    )


def run(
    body: Callable[[VbdPair, Ram], Awaitable[None]],
    *,
    abi: Abi = Abi.X86_64,
    back_abi: Abi = Abi.X86_64,
    sector_size: int = 512,
    loop_factory: Callable[[Machine], asyncio.AbstractEventLoop] | None = None,
    **loopback: Any,
) -> None:
    """Runs `body` with a loopback on a machine; nothing may be left mapped or in use after it."""
    with Machine("256M", virtual_time=loop_factory is not None) as machine:
        dom0 = machine.create_domain(privileged=True, abi=back_abi, memory="32M")
        guest = machine.create_domain(abi=abi, memory="64M")
        ram = Ram(sector_size)
        if "features" in loopback:
            loopback["features"] = FrontendFeatures(
                protocol=abi.protocol, **loopback.pop("features")
            )

        async def main() -> None:
            async with asyncio.timeout(60):
                async with VbdPair(dom0.hypervisor, guest.hypervisor, ram, **loopback) as disk:
                    await body(disk, ram)

        make_loop = partial(loop_factory, machine) if loop_factory else None
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(main())
        accounts = dom0.accounts
        assert accounts["grants_mapped"] == accounts["grants_unmapped"]
        ram.close()


async def exercise(disk: VbdPair, ram: Ram) -> None:
    """Reads, writes, flushes and discards of many sizes, compared with the store's memory."""
    front = disk.frontend
    for sector, count in ((0, 8), (8, 24), (100 * 8, 88), (1024, 256), (4096, 2048)):
        data = pattern(count, sector)
        await front.write(sector, data)
        assert ram.content(sector, count) == data
        assert await front.read(sector, count) == data
    await front.flush()
    assert front.agreement
    if front.agreement.discard:
        await front.discard(8, 24)
        assert ram.content(8, 24) == bytes(24 * 512)
    assert await front.read(0, 8) == pattern(8)


@pytest.mark.parametrize(("abi", "back_abi"), list(itertools.product(KINDS, KINDS)))
def test_every_pairing_of_abis(abi: Abi, back_abi: Abi) -> None:
    run(exercise, abi=abi, back_abi=back_abi)


@pytest.mark.parametrize("sector_size", [512, 1024, 2048, 4096])
def test_sector_sizes(sector_size: int) -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        assert disk.frontend.info
        assert disk.frontend.info.sector_size == sector_size
        await exercise(disk, ram)
        if sector_size > 512:
            with pytest.raises(UsageError):
                await disk.frontend.read(1, 1)

    run(body, sector_size=sector_size)


@pytest.mark.parametrize("form", ["order", "pages", "both"])
@pytest.mark.parametrize("order", [0, 1, 4])
@pytest.mark.parametrize("queues", [1, 3])
def test_shapes_of_rings(form: str, order: int, queues: int) -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        assert disk.backend.head
        layout = disk.backend.head.layout
        assert (layout.queues, layout.ring_page_order) == (queues, order)
        await exercise(disk, ram)
        writes = [write(i * 8, pattern(8, i)) for i in range(400)]
        await disk.frontend.submit(writes)
        assert not any(operation.status for operation in writes)
        reads = await disk.frontend.submit([read(i * 8, 8) for i in range(400)])
        assert [operation.data for operation in reads] == [pattern(8, i) for i in range(400)]

    run(
        body,
        options=VbdBackendOptions(ring_page_keys=form, max_queues=4),
        features={"max_ring_page_order": order, "max_queues": queues},
    )


@pytest.mark.parametrize("front_persistent", [False, True])
@pytest.mark.parametrize("back_persistent", [False, True])
@pytest.mark.parametrize("indirect", [0, 256])
@pytest.mark.parametrize("trusted", [False, True])
def test_data_paths(
    front_persistent: bool, back_persistent: bool, indirect: int, trusted: bool
) -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        await exercise(disk, ram)
        kept = front_persistent and back_persistent
        assert (disk.frontend.statistics()["grants_ended"] == 0) == kept

    run(
        body,
        options=VbdBackendOptions(persistent=back_persistent, max_indirect_segments=indirect),
        features={"persistent": front_persistent},
        trusted=trusted,
    )


def test_features_the_guest_sees() -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        info, agreement = disk.frontend.info, disk.frontend.agreement
        assert info
        assert agreement
        assert info.read_only
        assert info.cdrom
        assert info.removable
        assert not agreement.discard
        with pytest.raises(UsageError, match="read-only"):
            await disk.frontend.write(0, bytes(512))
        assert await disk.frontend.read(0, 1) == bytes(512)

    run(body, cdrom=True)


def test_discard_can_be_forbidden() -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        with pytest.raises(OSError, match="support"):
            await disk.frontend.discard(0, 8)

    run(body, discard=False)


def test_operations_that_need_no_backend_are_answered() -> None:
    """No event tells of them, whichever queue they are on."""

    async def body(disk: VbdPair, ram: Ram) -> None:
        for _ in range(8):
            operations = await disk.frontend.submit([discard(i * 8, 8) for i in range(10)])
            assert [o.status for o in operations] == [-errno.EOPNOTSUPP] * 10
        assert disk.backend.statistics()["requests"] == 0

    run(body, discard=False, features={"max_queues": 4})


def test_callers_mistakes_issue_nothing() -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        front = disk.frontend
        for sector, count in ((SECTORS, 1), (SECTORS - 1, 2), (-1, 1)):
            with pytest.raises(UsageError):
                await front.read(sector, count)
        with pytest.raises(UsageError):
            await front.write(0, b"x")
        with pytest.raises(UsageError):
            await front.submit([write(0, bytes(512)), read(SECTORS, 1)])
        with pytest.raises(UsageError):
            await front.submit([Operation(99)])
        with pytest.raises(UsageError, match="512 bytes to write 8 sectors"):
            await front.submit([Operation(int(lib.BLKIF_OP_WRITE), 0, 8, bytes(512))])
        assert front.outstanding == 0
        assert disk.backend.statistics()["requests"] == 0
        assert await front.submit([]) == []

    run(body)


def test_resize_both_ways() -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        sizes: list[int] = []
        disk.frontend.on_resize = lambda info: sizes.append(info.sectors)
        disk.backend.resize(SECTORS // 2)
        await disk.wait(lambda: sizes == [SECTORS // 2])
        with pytest.raises(UsageError):
            await disk.frontend.read(SECTORS // 2, 1)
        disk.backend.resize(SECTORS)
        await disk.wait(lambda: sizes == [SECTORS // 2, SECTORS])
        await exercise(disk, ram)
        with pytest.raises(UsageError):
            disk.backend.resize(SECTORS + 1)

    run(body)


@pytest.mark.parametrize("orderly", [True, False])
def test_backend_restart_is_not_noticed(orderly: bool) -> None:
    """Writers keep writing; what they wrote is there, whichever backend took it."""

    async def body(disk: VbdPair, ram: Ram) -> None:
        stop = False
        written: dict[int, bytes] = {}

        async def writer(number: int) -> None:
            count = 0
            while not stop:
                sector = (number * 64 + count % 64) * 8
                data = pattern(8, number * 1000 + count)
                await disk.frontend.write(sector, data)
                written[sector] = data
                count += 1

        writers = [asyncio.create_task(writer(number)) for number in range(8)]
        for _ in range(5):
            await disk.wait(lambda: disk.backend.statistics().get("requests", 0) > 30)
            await (disk.backend.close() if orderly else disk.backend.abort())
            disk.new_backend().start()
            await disk.backend.wait_for(XenbusState.CONNECTED)
        await disk.frontend.connected()
        stop = True
        await asyncio.gather(*writers)
        for sector, data in written.items():
            assert ram.content(sector, 8) == data
        assert len(written) > 30

    run(body, features={"max_queues": 2})


def test_unanswered_requests_are_issued_again() -> None:
    """A backend that takes requests and dies; the next one answers them."""

    async def body(disk: VbdPair, ram: Ram) -> None:
        stop_polling(disk)  # the first backend has stopped looking
        pending = asyncio.create_task(
            disk.frontend.submit([*(write(i * 8, pattern(8, i)) for i in range(100)), flush()])
        )
        await asyncio.sleep(0)
        await disk.backend.abort()
        assert not pending.done()
        disk.new_backend().start()
        done = await pending
        assert not any(operation.status for operation in done)
        assert disk.frontend.reissued == 101
        assert ram.content(0, 8) == pattern(8, 0)

    run(body, features={"max_queues": 1})


@pytest.mark.slow
def test_resume_reconnects_and_issues_again() -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        stop_polling(disk)
        disk.frontend.drain_timeout = 0.1  # which is over, since nobody answers
        pending = asyncio.create_task(disk.frontend.write(0, pattern(8)))
        await asyncio.sleep(0)
        disk.frontend.resume()
        await pending
        assert ram.content(0, 8) == pattern(8)
        assert disk.frontend.reissued == 1

    run(body)


def test_guest_reboots() -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        await disk.frontend.write(0, pattern(8))
        await disk.frontend.abort()
        disk.new_frontend().start()
        await disk.frontend.connected()
        assert await disk.frontend.read(0, 8) == pattern(8)

    run(body)


def test_orderly_unplug_answers_what_was_asked() -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        pending = asyncio.create_task(
            disk.frontend.submit([write(i * 8, pattern(8, i)) for i in range(200)])
        )
        await asyncio.sleep(0)
        assert await disk.unplug()
        assert not any(operation.status for operation in await pending)
        await disk.wait(lambda: disk.frontend.finished and disk.backend.finished)
        with pytest.raises(UsageError, match="closed"):
            await disk.frontend.read(0, 1)

    run(body)


def test_forced_unplug_fails_what_was_asked() -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        stop_polling(disk)
        pending = asyncio.create_task(disk.frontend.read(0, 8))
        await asyncio.sleep(0)
        await disk.unplug_forced()
        with pytest.raises(OSError, match="Input/output"):
            await pending
        await disk.wait(lambda: disk.frontend.finished and disk.backend.finished)

    run(body)


def test_frontend_closes_and_opens_again() -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        await disk.frontend.write(0, pattern(8))
        await disk.frontend.close()
        assert disk.backend.state is XenbusState.CLOSED
        disk.new_frontend().start()
        await disk.frontend.connected()
        assert await disk.frontend.read(0, 8) == pattern(8)

    run(body)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["front", "back", "killed back", "resume"])
def test_reconnecting_leaks_nothing(who: str) -> None:
    """The guest's memory would be used up after a few connections."""

    async def body(disk: VbdPair, ram: Ram) -> None:
        for count in range(40):
            if who == "front":
                await disk.frontend.close()
                disk.new_frontend().start()
            elif who == "resume":
                disk.frontend.resume()
            else:
                await (disk.backend.close() if who == "back" else disk.backend.abort())
                disk.new_backend().start()
            await disk.frontend.write(0, pattern(8, count))
        assert ram.content(0, 8) == pattern(8, 39)

    run(body)


def test_on_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def body(disk: VbdPair, ram: Ram) -> None:
        await exercise(disk, ram)
        assert await disk.unplug()

    run(body, loop_factory=lambda machine: uvloop.new_event_loop())


def test_io_before_the_connection_waits_for_it() -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        early = [asyncio.create_task(disk.frontend.write(i * 8, pattern(8, i))) for i in range(4)]
        late = asyncio.create_task(disk.frontend.read(SECTORS, 1))
        await asyncio.sleep(0)
        disk.frontend.start()
        disk.backend.start()
        await asyncio.gather(*early)
        with pytest.raises(UsageError, match="beyond"):
            await late
        assert ram.content(24, 8) == pattern(8, 3)

    run(body, connect=False)


def test_two_disks_share_a_xenstore() -> None:
    with Machine() as machine:
        dom0, guest = machine.create_domain(privileged=True), machine.create_domain()
        rams = [Ram(), Ram()]

        async def main() -> None:
            first = VbdPair(dom0.hypervisor, guest.hypervisor, rams[0], name="xvda")
            async with first as a:
                second = VbdPair(
                    dom0.hypervisor, guest.hypervisor, rams[1], name="xvdq", xenstore=a.xenstore
                )
                async with second as b:
                    await asyncio.gather(exercise(a, rams[0]), exercise(b, rams[1]))
                    assert b.frontend.number == 268439552
                    assert await b.unplug()
                    await exercise(a, rams[0])

        asyncio.run(main())
        for ram in rams:
            ram.close()


@pytest.mark.parametrize("number", ["7", "-1", "sda", "", "9" * 400])
def test_a_number_that_is_no_disk_is_not_taken_up(number: str) -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        path = f"{disk.config.frontend_path}/virtual-device"
        await disk.toolstack.write(path, number)
        disk.frontend.start()
        disk.backend.start()
        await disk.frontend.wait_for(XenbusState.CLOSED)
        assert "virtual-device" in (disk.frontend.last_error or "")
        await disk.toolstack.write(path, "268439552")
        await disk.frontend.abort()
        disk.new_frontend().start()
        await disk.frontend.connected()
        assert (disk.frontend.number, disk.frontend.name) == (268439552, "xvdq")

    run(body, connect=False)


def test_describe_and_statistics() -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        await exercise(disk, ram)
        assert "connected" in disk.backend.describe()
        assert "x86_64-abi" in disk.backend.describe()
        assert "outstanding" in disk.frontend.describe()
        back, front = disk.backend.statistics(), disk.frontend.statistics()
        assert back["rd_sect"] == front["rd_sect"] > 0
        assert back["wr_sect"] == front["wr_sect"] > 0
        assert "\n" not in repr(disk.backend) + repr(disk.frontend)

    run(body, features={})


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_a_deterministic_loop(seed: int) -> None:
    async def body(disk: VbdPair, ram: Ram) -> None:
        await exercise(disk, ram)
        await disk.backend.abort()
        disk.new_backend().start()
        await exercise(disk, ram)
        assert await disk.unplug()

    run(body, loop_factory=lambda machine: DeterministicLoop(seed, machine))


def test_operations_are_plain_values() -> None:
    assert discard(8, 16, secure=True).secure
    assert read(8, 16) == Operation(lib.BLKIF_OP_READ, 8, 16)
