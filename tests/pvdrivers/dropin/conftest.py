"""A served machine with two domains, a xenstore, and programs built against Xen's own headers."""

import asyncio
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.sim import Machine, MemoryExtent
from pvdrivers.testing.dropin import dropin_environment
from pvdrivers.xenstore import XenStore
from pvdrivers.xenstore.server import SocketServer

XEN = Path("/usr/lib/xen-4.17/bin")  # of Debian's package xen-utils-4.17
PROGRAMS = Path(__file__).parent / "programs"
LIBRARIES = Path("/usr/lib") / f"{os.uname().machine}-linux-gnu"


class World:
    """Domain 0, domain 1, and how a program is run in one of them."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.folder = folder
        self.dom0 = machine.create_domain(memory="16M", privileged=True)
        self.guest = machine.create_domain(memory="16M")

    def environment(self, domid: int) -> dict[str, str]:
        return dropin_environment(self.folder / "machine", self.folder / "xenstored", domid)

    def start(self, domid: int, *command: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(word) for word in command],
            env=self.environment(domid),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, domid: int, *command: object) -> str:
        """What the program prints; it must end well."""
        return finish(self.start(domid, *command))

    def run_failing(self, domid: int, *command: object) -> str:
        """What the program says of an error; it must end with one."""
        process = self.start(domid, *command)
        _, errors = process.communicate(timeout=60)
        assert process.returncode != 0
        return errors


def finish(process: subprocess.Popen[str], timeout: float = 60) -> str:
    """What is left of a program's output; it must end well."""
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"{process.args} does not end: {process.communicate()}")
    assert process.returncode == 0, f"{process.returncode}: {output}{errors}"
    return output


def with_mounts(script: str) -> list[str]:
    """Before a command: it runs in a mount namespace of its own, after this shell script."""
    flags = ["--mount"] if os.geteuid() == 0 else ["--map-root-user", "--mount"]
    if subprocess.run(["unshare", *flags, "true"], capture_output=True).returncode:
        pytest.skip("needs mount namespaces")
    return ["unshare", *flags, "sh", "-ec", f'{script}\nexec "$@"', "sh"]


@pytest.fixture
def world(tmp_path):
    with Machine("64M") as machine:
        machine.serve(tmp_path / "machine")
        yield World(machine, tmp_path)


@contextmanager
def in_thread(
    serve: Callable[[threading.Event, asyncio.Event], Coroutine[Any, Any, None]],
) -> Iterator[None]:
    """`serve(ready, end)` runs on a loop in a thread of its own: it sets `ready`, and returns when
    `end` is set."""
    ready = threading.Event()
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        end = asyncio.Event()
        ends.append((asyncio.get_running_loop(), end))
        await serve(ready, end)

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert ready.wait(60)
    yield
    loop, end = ends[0]
    loop.call_soon_threadsafe(end.set)
    thread.join()


@contextmanager
def xenstore_at(path: Path) -> Iterator[Path]:
    """A xenstore, in a thread of its own."""

    async def serve(ready: threading.Event, end: asyncio.Event) -> None:
        async with SocketServer(XenStore(), str(path)):
            ready.set()
            await end.wait()

    with in_thread(serve):
        yield path


@pytest.fixture
def xenstored(world):
    """A xenstore at XENSTORED_PATH."""
    with xenstore_at(world.folder / "xenstored") as path:
        yield path


class DryRunXl:
    """Debian's xl, which makes nothing, on a host of two nodes with two CPUs each."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._file = world.folder / "domain.cfg"

    def create(self, text: str) -> dict[str, Any] | None:
        """What xl takes the file for, as libxl's JSON; None: it refuses it."""
        self._file.write_text(text, newline="")
        process = self._world.start(0, XEN / "xl", "-N", "create", self._file)
        output, errors = process.communicate(timeout=60)
        assert process.returncode in (0, 1), errors
        return None if process.returncode else json.loads(output)


@pytest.fixture(scope="module")
def dry_run_xl(tmp_path_factory):
    if not (XEN / "xl").exists():
        pytest.skip("needs xl (Debian package xen-utils-4.17)")
    folder = tmp_path_factory.mktemp("xl")
    memory = [MemoryExtent(0, 64 << 20, 0), MemoryExtent(1 << 32, 32 << 20, 1)]
    with Machine(memory, cpus=4, virtual_time=True) as machine, xenstore_at(folder / "xenstored"):
        machine.serve(folder / "machine")
        yield DryRunXl(World(machine, folder))


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """Builds a program of this folder, linked with Debian's libraries as any other would be."""
    folder = tmp_path_factory.mktemp("programs")

    def compile_program(name: str, *libraries: str) -> Path:
        for header in ("xenevtchn.h", "xengnttab.h", "libxenvchan.h"):
            if not Path("/usr/include", header).exists():
                pytest.skip(f"needs {header} (Debian package libxen-dev)")
        if not shutil.which("gcc"):
            pytest.skip("needs gcc (Debian package gcc)")
        flags = ["-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-O1"]
        source = PROGRAMS / f"{name}.c"
        command = ["gcc", *flags, source, "-o", folder / name, *(f"-l{x}" for x in libraries)]
        subprocess.run(command, check=True)
        return folder / name

    return compile_program
