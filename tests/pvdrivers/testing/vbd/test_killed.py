"""SIGKILL of one process under I/O: the others go on, and a destroyed domain leaves nothing."""

import asyncio
import errno
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.stores.store import FileStore
from pvdrivers.hypervisor import HypervisorError
from pvdrivers.sim import MachineError
from pvdrivers.testing.vbd.loopback import VbdLoopback

MIB = 1 << 20

FRONTEND = """
import asyncio, sys
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.sim import Machine
from pvdrivers.toolstack.xenstore_rings import GuestXenstore

async def main():
    hypervisor = Machine.attach(sys.argv[1]).open_hypervisor(int(sys.argv[2]))
    frontend = VbdFrontend(GuestXenstore(hypervisor).client, sys.argv[3], hypervisor)
    frontend.start()
    await frontend.connected()
    await frontend.write(0, b"acknowledged".ljust(4096))
    print("acknowledged", flush=True)
    while True:
        await asyncio.gather(*(frontend.write(64 + 8 * i, bytes(4096)) for i in range(32)))

asyncio.run(main())
"""


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[VbdLoopback]:
    image = tmp_path / "image"
    image.write_bytes(bytes(MIB))
    with VbdLoopback(partial(FileStore, str(image)), mode="processes") as loopback:
        yield loopback


async def start_guest_again(loopback: VbdLoopback) -> None:
    """As soon as the machine has noticed that the process is dead."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await loopback.start_guest()
            except HypervisorError as error:
                assert error.errno == errno.EBUSY
                await asyncio.sleep(0.01)


async def until_destroyed(loopback: VbdLoopback) -> None:
    """Destroys the guest and waits until the machine has all its memory back."""
    guest = loopback.guest
    memory = guest.info.pages * guest.info.page_size
    free = loopback.machine.free_memory
    guest.destroy()
    async with asyncio.timeout(60):
        while loopback.machine.free_memory < free + memory:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    with pytest.raises(MachineError):
        assert guest.info


@pytest.mark.slow
def test_frontend(loopback: VbdLoopback) -> None:
    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        await loopback.stop_guest()
        arguments = [str(loopback.machine_socket), str(loopback.guest.domid), frontend.path]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FRONTEND, *arguments, stdout=subprocess.PIPE
        )
        assert process.stdout
        assert await process.stdout.readline() == b"acknowledged\n"
        process.kill()
        await process.wait()
        await start_guest_again(loopback)
        after = await loopback.frontend()
        await after.connected()
        assert await after.read(0, 8) == b"acknowledged".ljust(4096)
        await after.write(0, b"goes on".ljust(4096))
        assert await after.read(0, 8) == b"goes on".ljust(4096)
        assert await loopback.unplug()
        await loopback.stop_guest()
        await loopback.toolstack.release(loopback.guest.domid)
        await until_destroyed(loopback)

    loopback.run(scenario)


def test_xenstore(loopback: VbdLoopback) -> None:
    """The disk goes on without its xenstore; nothing hangs when it is all taken down."""

    async def scenario(frontend: Any) -> None:
        await frontend.connected()
        await frontend.write(0, b"before".ljust(4096))
        loopback.kill_xenstore()
        assert await frontend.read(0, 8) == b"before".ljust(4096)
        await frontend.write(0, b"after".ljust(4096))
        assert await frontend.read(0, 8) == b"after".ljust(4096)
        async with asyncio.timeout(60):
            await loopback.stop_guest()
        loopback.kill_backend()
        await until_destroyed(loopback)

    loopback.run(scenario)
