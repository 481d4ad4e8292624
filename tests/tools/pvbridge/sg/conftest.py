"""A machine whose logical units programs reach by SG_IO, as `pvbridge sg` makes it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pvdrivers.tools.pvbridge.guests import MachineGuests
from pvdrivers.tools.pvbridge.luns import LunSpec
from pvdrivers.tools.pvbridge.sg.folder import VARIABLE
from pvdrivers.tools.pvbridge.sg.preload import preloaded
from pvdrivers.tools.pvbridge.sg.server import SgServer, probe

PACKAGES = dict.fromkeys(("mtx", "tapeinfo", "loaderinfo", "scsitape"), "mtx")


@dataclass
class Programs:
    """Runs programs with the preload library, which finds the sockets of `folder`."""

    folder: Path

    async def start(self, *words: object) -> asyncio.subprocess.Process:
        program = str(words[0])
        if not shutil.which(program):
            pytest.skip(f"needs {program} (Debian package {PACKAGES.get(program, 'sg3-utils')})")
        return await asyncio.create_subprocess_exec(
            *map(str, words),
            env=preloaded({**os.environ, VARIABLE: str(self.folder)}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, *words: object, status: int = 0, stdin: bytes | None = None) -> str:
        """What it says on stdout and stderr."""
        process = await self.start(*words)
        said = (await process.communicate(stdin))[0].decode(errors="replace")
        assert process.returncode == status, f"{words}: {said}"
        return said

    async def python(self, program: str) -> str:
        """A Python program that may use the structs and functions of sgio.py."""
        return await self.run(*python(program))


def python(program: str) -> tuple[str, ...]:
    """The words of a command."""
    path = str(Path(__file__).parent)
    text = f"import sys\nsys.path.insert(0, {path!r})\nfrom sgio import *\n{program}"
    return sys.executable, "-c", text


Machine = Callable[..., AbstractAsyncContextManager[Programs]]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    @asynccontextmanager
    async def make(*luns: str, names: tuple[str, ...] = ("guest",)) -> AsyncIterator[Programs]:
        async with AsyncExitStack() as stack:
            specs = [LunSpec.parse(text) for text in luns]
            guests = await stack.enter_async_context(MachineGuests(specs))
            for name in names:
                guest = await guests.join(name)
                server = SgServer(guest, await probe(guest))
                await stack.enter_async_context(server.serve(tmp_path / f"{name}.sock"))
            yield Programs(tmp_path)

    return make
