"""The balloon: a guest gives memory back and gets it again, while its disk is in use."""

import asyncio
import errno
import random
from functools import partial

import pytest

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.frontends.balloon import MINIMUM, Balloon
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.hypervisor import HypervisorError
from pvdrivers.ring.abi import Abi
from pvdrivers.sim import Machine
from pvdrivers.testing.vbd.loopback import VbdLoopback

MIB = 1 << 20
BLOCK = 4096


async def written_and_read(frontend: VbdFrontend, rounds: int, seed: int) -> None:
    """Writes blocks and reads them again, at random places of the disk's own half."""
    source = random.Random(seed)
    blocks: dict[int, bytes] = {}
    for _ in range(rounds):
        sector = source.randrange(1024) * 8 + 8192 * seed
        blocks[sector] = source.randbytes(BLOCK)
        await frontend.write(sector, blocks[sector])
        again = source.choice(sorted(blocks))
        assert await frontend.read(again, 8) == blocks[again]
    for sector, content in blocks.items():
        assert await frontend.read(sector, 8) == content


async def reaches(balloon: Balloon, size: int) -> None:
    async with asyncio.timeout(60):
        while balloon.size != size:  # noqa: ASYNC110 - its state is polled
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("mode", ["loop", "deterministic"])
@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.IA64])
def test_memory_goes_and_comes_under_io(mode: str, abi: Abi) -> None:
    with VbdLoopback(partial(RamStore, 8 * MIB), mode=mode, seed=3, abi=abi) as loopback:
        guest, machine = loopback.guest, loopback.machine

        async def has(balloon: Balloon, size: int) -> None:
            await reaches(balloon, size)
            assert guest.info.pages * guest.info.page_size == size

        async def scenario(frontend: VbdFrontend) -> None:
            balloon = loopback.start_balloon()
            disks = [
                asyncio.ensure_future(written_and_read(frontend, 200, seed)) for seed in (0, 1)
            ]
            free = machine.free_memory
            for mebibytes in (48, 28, 64, 24, 40, 64):
                await loopback.set_memory_target(mebibytes * MIB)
                await has(balloon, mebibytes * MIB)
                assert machine.free_memory == free + (64 - mebibytes) * MIB
            await asyncio.gather(*disks)

        loopback.run(scenario)


def test_a_target_is_kept_between_minimum_and_maximum() -> None:
    with VbdLoopback(partial(RamStore, 1 * MIB), mode="deterministic") as loopback:

        async def scenario(_: VbdFrontend) -> None:
            balloon = loopback.start_balloon()
            for target, size in ((0, MINIMUM), (1024 * MIB, 64 * MIB)):
                await loopback.set_memory_target(target)
                await reaches(balloon, size)
                await asyncio.sleep(5)  # it may try again, and stays
                assert loopback.guest.info.pages * BLOCK == size
            assert repr(balloon) == "<Balloon, target 1024 MiB, size 64 MiB>"

        loopback.run(scenario)


def test_a_guest_gets_more_than_it_began_with() -> None:
    with Machine("64M") as machine:
        domain = machine.create_domain(memory="8M", max_memory="32M")
        guest = domain.hypervisor
        assert guest.balloon(32 * MIB // BLOCK) == 32 * MIB // BLOCK
        pages = guest.allocate_pages(30 * MIB // BLOCK)
        pages.view[:] = bytes([0xA5]) * pages.size
        # What is in use stays, and what is in it.
        left = guest.balloon(0)
        assert 30 * MIB // BLOCK <= left < 30 * MIB // BLOCK + 17
        assert pages.view[:1] == pages.view[-1:] == b"\xa5"
        with pytest.raises(HypervisorError) as refused:
            guest.allocate_pages(2)
        assert refused.value.errno == errno.ENOMEM
        guest.free_pages(pages)
        assert guest.balloon(2048) == 2048
        assert machine.free_memory == 56 * MIB
        assert not any(guest.allocate_pages(512).view)


def test_a_machine_without_memory_gives_what_it_has() -> None:
    with Machine("16M") as machine:
        domain = machine.create_domain(memory="8M", max_memory="16M")
        other = machine.create_domain(memory="6M")
        assert domain.hypervisor.balloon(4096) == 2560
        other.destroy()
        assert domain.hypervisor.balloon(4096) == 4096
