"""The guest's shell, typed at over its console."""

from __future__ import annotations

import asyncio
import os
import re
import tty


class CommandFailed(Exception):
    """A command in the guest did not end well, or not at all."""


class GuestShell:
    """A shell on the other end of the console's terminal in dom0."""

    def __init__(self, terminal: str) -> None:
        """`terminal` is the console's pseudo-terminal in dom0 (xenstore: console/tty)."""
        self._fd = os.open(terminal, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._fd)
        self._number = 0
        self._said = ""
        self._heard = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            self._said += os.read(self._fd, 65536).decode("utf-8", "replace")
        except OSError:  # the guest is gone
            asyncio.get_running_loop().remove_reader(self._fd)
        self._heard.set()

    def type(self, line: str) -> None:
        """A line, whatever comes of it."""
        os.write(self._fd, f"{line}\n".encode())

    async def run(self, command: str, patience: float = 120) -> str:
        """What the command printed. CommandFailed when it fails or takes over `patience` s."""
        self._number += 1
        self._said = ""
        # Split by quotes, so that an echo of the line is not taken for the answer.
        line = f'{{ {command}; }} </dev/null 2>&1; echo "@""{self._number}:$?@"'
        self.type(line)
        answer = re.compile(rf"@{self._number}:(\d+)@")
        try:
            async with asyncio.timeout(patience):
                while not (found := answer.search(self._said)):
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise CommandFailed(f"{command}: no answer in {patience:.0f} s: {self._said}") from None
        output = self._said[: found.start()].strip()
        if found[1] != "0":
            raise CommandFailed(f"{command}: exit status {found[1]}: {output}")
        return output

    async def start(self, command: str) -> Background:
        """Runs the command beside others."""
        self._number += 1
        job = Background(self, f"/tmp/job{self._number}", command)
        await self.run(
            f"({{ {command}; }} >{job.path}.log 2>&1; echo $? >{job.path}.part;"
            f" mv {job.path}.part {job.path}) & true"
        )
        return job

    async def number(self, path: str) -> int:
        """What a file with a number holds."""
        return int((await self.run(f"cat {path}")).split()[-1])

    async def wait_for(self, test: str, patience: float = 60) -> None:
        """Until a shell test is true."""
        await self.run(f"n=0; until {test}; do sleep 0.1; n=$((n+1)); done", patience)


class Background:
    """A command in the guest, of which `path` will hold the exit status."""

    def __init__(self, shell: GuestShell, path: str, command: str) -> None:
        self.path = path
        self._shell = shell
        self._command = command

    async def running(self) -> bool:
        return await self._shell.run(f"test -e {self.path} && echo no || echo yes") == "yes"

    async def finished(self, patience: float) -> None:
        """CommandFailed when it failed, or takes over `patience` seconds."""
        await self._shell.wait_for(f"test -e {self.path}", patience)
        if status := await self._shell.number(self.path):
            output = await self._shell.run(f"cat {self.path}.log")
            raise CommandFailed(f"{self._command}: exit status {status}: {output}")
        await self._shell.run(f"rm {self.path} {self.path}.log")
