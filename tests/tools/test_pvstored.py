"""pvstored with the guests of a simulated machine, each in a process of its own."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pvdrivers.sim import Domain, Machine
from pvdrivers.toolstack.domain_builder import build, introduce
from pvdrivers.xenstore import XenstoreClient

PVSTORED = [sys.executable, "-m", "pvdrivers.tools.pvstored"]

GUEST = """
import asyncio, sys
from pvdrivers.sim import Machine
from pvdrivers.toolstack.xenstore_rings import GuestXenstore

async def main():
    domid = int(sys.argv[2])
    client = GuestXenstore(Machine.attach(sys.argv[1]).open_hypervisor(domid)).client
    async with await client.watch(f"/local/domain/{domid}/question") as watch:
        async for path in watch:
            if await client.exists(path):
                await client.write(f"/local/domain/{domid}/answer", await client.read(path) * 2)

asyncio.run(main())
"""


class Served:
    """A machine, pvstored on it, and a toolstack's connection."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        self._path = str(folder / "machine")
        self.machine = stack.enter_context(Machine())
        self.machine.create_domain(privileged=True)
        self.machine.serve(self._path)
        self._socket = str(folder / "xs")
        command = [*PVSTORED, "--socket", self._socket, "--machine", self._path]
        self.pvstored = self._spawn(command, stdout=subprocess.PIPE)
        assert self.pvstored.stdout
        assert (
            self.pvstored.stdout.readline() == f"pvstored: listening on {self._socket}\n".encode()
        )

    def _spawn(self, command: list[str], **options: int) -> "subprocess.Popen[bytes]":
        process = self._stack.enter_context(subprocess.Popen(command, **options))
        self._stack.callback(process.kill)
        return process

    async def connect(self) -> None:
        self.control = await XenstoreClient.connect(self._socket)

    async def start_guest(self) -> "tuple[Domain, subprocess.Popen[bytes]]":
        guest = self.machine.create_domain()
        home = f"/local/domain/{guest.domid}"
        await self.control.mkdir(home)
        await self.control.set_permissions(home, [f"n{guest.domid}"])
        await introduce(self.control, guest, build(guest))
        return guest, self._spawn([sys.executable, "-c", GUEST, self._path, str(guest.domid)])

    async def until_free(self, memory: int) -> None:
        """The machine notices a moment after its end that a process is gone."""
        while self.machine.free_memory != memory:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def ask(self, guest: Domain, question: str) -> None:
        """The guest answers over its own page."""
        home = f"/local/domain/{guest.domid}"
        await self.control.write(f"{home}/question", question)
        async with await self.control.watch(f"{home}/answer") as watch:
            async for path in watch:
                # The answer to an earlier question may still be there.
                if await self.control.read_optional(path) == question * 2:
                    return


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    with ExitStack() as stack:
        yield Served(folder, stack)


def run(folder: Path, body: Callable[[Served], Awaitable[None]]) -> None:
    async def main(house: Served) -> None:
        async with asyncio.timeout(120):
            await house.connect()
            await body(house)
            house.control.close()

    with served(folder) as house:
        asyncio.run(main(house))


@pytest.mark.slow
def test_a_guest_is_killed_and_another_has_its_place(tmp_path: Path) -> None:
    async def body(house: Served) -> None:
        free = house.machine.free_memory
        bystander, _ = await house.start_guest()
        await house.ask(bystander, "who")
        left = house.machine.free_memory
        assert left < free
        for _ in range(2):
            guest, process = await house.start_guest()
            await house.ask(guest, "what")
            process.kill()
            process.wait()
            await house.control.release(guest.domid)
            guest.destroy()
            await house.control.remove(f"/local/domain/{guest.domid}")
            await house.until_free(left)
        await house.ask(bystander, "still there")

    run(tmp_path, body)


def test_pvstored_is_killed_and_leaves_nothing(tmp_path: Path) -> None:
    async def body(house: Served) -> None:
        free = house.machine.free_memory
        guest, process = await house.start_guest()
        await house.ask(guest, "what")
        house.pvstored.kill()
        house.pvstored.wait()
        with pytest.raises(ConnectionResetError):
            await house.control.read("/")
        assert process.poll() is None
        process.kill()
        process.wait()
        guest.destroy()
        await house.until_free(free)

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--machine", "/nonexistent/machine"], "no machine is served at"),
        (["--domid", "-1"], "--domid"),
        (["--domid", "99999"], "--domid"),
    ],
)
def test_refusals(tmp_path: Path, arguments: list[str], why: str) -> None:
    command = [*PVSTORED, "--socket", str(tmp_path / "xs"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith("pvstored: ")
    assert done.stderr.count("\n") == 1
    assert why in done.stderr
