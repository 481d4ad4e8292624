"""Starts guests by the launcher, and hears of their ends."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Self

from pvdrivers.guest.launcher import PACKET, Launch

Ended = Callable[[int, int, int], None]


class Launching:
    """Entered in a running event loop, it has a launcher process.

    `on_end` is called with a guest's domid, its generation and the exit status of its process,
    negative for a signal. When the launcher has died, it is called for every guest, with -SIGKILL,
    and there is another launcher.
    """

    def __init__(self, on_end: Ended) -> None:
        self._on_end = on_end
        self._guests: dict[tuple[int, int], int | None] = {}  # their process ids, once known

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._start_launcher()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """The guests are killed."""
        self._loop.remove_reader(self._control)
        self._control.close()
        await asyncio.to_thread(self._process.wait)

    def _start_launcher(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "pvdrivers.guest.launcher", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdout=subprocess.DEVNULL
            )
        self._control.setblocking(False)
        self._loop.add_reader(self._control, self._hear)

    def start(self, launch: Launch) -> None:
        """OSError: the launcher is gone, or has too much to do."""
        self._control.send(json.dumps(asdict(launch)).encode())
        self._guests[launch.domid, launch.generation] = None

    def process_of(self, domid: int, generation: int) -> int | None:
        """The process id of a guest that runs."""
        return self._guests.get((domid, generation))

    @property
    def launcher(self) -> int:
        """The process id of the launcher."""
        return self._process.pid

    def _hear(self) -> None:
        try:
            packet = self._control.recv(PACKET)
        except BlockingIOError:
            return
        if not packet:
            self._launcher_is_gone()
            return
        said = json.loads(packet)
        guest = said["domid"], said["generation"]
        if "pid" in said:
            self._guests[guest] = said["pid"]
        else:
            del self._guests[guest]
            self._on_end(*guest, said["status"])

    def _launcher_is_gone(self) -> None:
        self._loop.remove_reader(self._control)
        self._control.close()
        self._process.wait()
        ended = list(self._guests)
        self._guests.clear()
        self._start_launcher()
        for domid, generation in ended:
            self._on_end(domid, generation, -signal.SIGKILL)
