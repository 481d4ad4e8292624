"""Guests are processes that a launcher forks, and whose ends it tells."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pvdrivers.guest.boot import command_line
from pvdrivers.guest.launcher import Launch
from pvdrivers.guest.launching import Launching
from pvdrivers.sim import Domain, DomainState, Machine
from pvdrivers.toolstack.domains import create_domain, request_shutdown
from pvdrivers.toolstack.xenstore_rings import GuestRings
from pvdrivers.toolstack.xl_config.domain import DomainSpec
from pvdrivers.xenstore import XenStore
from pvdrivers.xenstore.client import XenstoreClient
from tests.until import has_ended, until

pytestmark = pytest.mark.slow

PATIENCE = 120.0


class World:
    """A machine with a xenstore, a launcher, and what the launcher has told."""

    def __init__(self, folder: Path, machine: Machine, toolstack: XenstoreClient) -> None:
        self.folder, self.machine, self.toolstack = folder, machine, toolstack
        self.ends: asyncio.Queue[tuple[int, int, int]] = asyncio.Queue()
        self.launching = Launching(lambda *end: self.ends.put_nowait(end))

    async def start(self, program: str, *arguments: str) -> Domain:
        spec = DomainSpec(f"guest{len(self.machine.domains())}", memory=8, maxmem=8)
        line = command_line(program, arguments)
        domain = await create_domain(self.machine, self.toolstack, spec, line)
        domain.unpause()
        socket, log = str(self.folder / "machine"), str(self.folder / f"{domain.domid}.log")
        self.launching.start(Launch(socket, domain.domid, domain.info.generation, log))
        return domain

    async def process_of(self, domain: Domain) -> int:
        generation = domain.info.generation
        await until(lambda: self.launching.process_of(domain.domid, generation))
        return self.launching.process_of(domain.domid, generation) or 0

    def log(self, domain: Domain) -> str:
        return (self.folder / f"{domain.domid}.log").read_text()


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    with Machine("256M", max_domains=8) as machine:
        machine.create_domain(privileged=True, memory="4M")
        machine.serve(folder / "machine")
        store = XenStore()
        rings = GuestRings(store, machine)
        toolstack = XenstoreClient.in_process(store)
        await toolstack.write("/local/domain/0/name", "Domain-0")
        made = World(folder, machine, toolstack)
        async with made.launching:
            yield made
        toolstack.close()
        rings.close()


def run(folder: Path, scenario: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), world(folder) as made:
            await scenario(made)

    asyncio.run(main())


def test_a_guest_ends_when_its_toolstack_asks(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        domain = await world.start("idle")
        await request_shutdown(world.toolstack, domain.domid)
        domid, generation, status = await world.ends.get()
        assert (domid, generation) == (domain.domid, domain.info.generation)
        assert (status, domain.info.state) == (0, DomainState.SHUTDOWN), world.log(domain)

    run(tmp_path, scenario)


def test_a_program_that_fails_is_told_with_its_traceback(tmp_path: Path) -> None:
    program = tmp_path / "fails.py"
    program.write_text("async def main(kernel): raise ValueError(*kernel.arguments)\n")

    async def scenario(world: World) -> None:
        domain = await world.start(str(program), "on purpose")
        *_, status = await world.ends.get()
        assert status == 1
        assert "ValueError: on purpose" in world.log(domain)
        assert domain.info.state is DomainState.RUNNING  # its end is the host's to judge

    run(tmp_path, scenario)


def test_a_killed_guest_is_told(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        killed, other = await world.start("idle"), await world.start("idle")
        os.kill(await world.process_of(killed), signal.SIGKILL)
        assert await world.ends.get() == (killed.domid, killed.info.generation, -signal.SIGKILL)
        os.kill(await world.process_of(other), 0)

    run(tmp_path, scenario)


def test_guests_end_with_their_launcher_and_another_one_starts_others(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        domain = await world.start("idle")
        pid = await world.process_of(domain)
        launcher = world.launching.launcher
        os.kill(launcher, signal.SIGKILL)
        assert await world.ends.get() == (domain.domid, domain.info.generation, -signal.SIGKILL)
        await until(lambda: has_ended(pid))
        assert world.launching.launcher != launcher
        other = await world.start("idle")
        await request_shutdown(world.toolstack, other.domid)
        assert (await world.ends.get())[2] == 0, world.log(other)

    run(tmp_path, scenario)


def test_guests_end_with_the_host(tmp_path: Path) -> None:
    pids = []

    async def scenario(world: World) -> None:
        pids.append(await world.process_of(await world.start("idle")))

    run(tmp_path, scenario)
    assert has_ended(pids[0])
