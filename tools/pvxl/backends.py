"""dom0's pvbackd as a process of the host: started, waited for, and started again when it dies."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pvdrivers.background import in_background
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvxl.host import HostFolder

log = logging.getLogger(__name__)

RESTART_DELAY = 1.0  # seconds; the next one takes up what was in flight
PACKET = 4096  # bytes
UNTIL_HOST_ENDS = "cat"  # what pvbackd runs while it serves: a killed host closes the pipe it reads
PREDECESSOR = 20.0  # seconds that the pvbackd of a killed host may take to drain
CONFIG = """\
# Network devices with one bridge name are on one switch.
[[vif]]
uplink = {kind = "switch"}

# A LUN is the image that its p-dev names.
[[scsi]]
"""


@asynccontextmanager
async def backends(folder: HostFolder) -> AsyncIterator[None]:
    """pvbackd serves the host's devices when the block begins, and ends after it.

    Its configuration is in the folder, and made if there is none. UsageError: it does not come up.
    """
    if not folder.backends_config.exists():
        folder.backends_config.write_text(CONFIG)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.setblocking(False)
        notifications.bind(f"\0pvxl/{os.getpid()}/{id(folder):x}")
        supervisor = _Supervisor(folder, notifications)
        await supervisor.start_after_predecessor()
        try:
            async with in_background(supervisor.run()):
                yield
        finally:
            await supervisor.stop()


class _Supervisor:
    def __init__(self, folder: HostFolder, notifications: socket.socket) -> None:
        self._folder, self._notifications = folder, notifications
        self._process: asyncio.subprocess.Process

    async def start(self) -> None:
        """Returns when it serves."""
        address = self._notifications.getsockname().decode()
        environment = {**os.environ, "NOTIFY_SOCKET": "@" + address[1:]}
        with self._folder.backends_log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        ended = asyncio.ensure_future(self._process.wait())
        ready = asyncio.ensure_future(self._heard())
        await asyncio.wait([ended, ready], return_when=asyncio.FIRST_COMPLETED)
        for task in (ended, ready):
            task.cancel()
        if not ready.done() or ready.cancelled():
            raise UsageError(f"pvbackd ended at its start; {self._folder.backends_log} says why")

    async def start_after_predecessor(self) -> None:
        """Returns when it serves. The pvbackd of a host that was killed here may still drain."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PREDECESSOR
        while True:
            try:
                return await self.start()
            except UsageError:
                if loop.time() >= deadline:
                    raise
            await asyncio.sleep(RESTART_DELAY)

    async def run(self) -> None:
        """Starts it again whenever it has ended."""
        while True:
            status = await self._process.wait()
            log.warning("pvbackd ended with %d, and is started again", status)
            await asyncio.sleep(RESTART_DELAY)
            try:
                await self.start()
            except UsageError as error:
                log.error("%s", error)

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def _heard(self) -> None:
        loop = asyncio.get_running_loop()
        while b"READY=1" not in await loop.sock_recv(self._notifications, PACKET):
            pass

    @property
    def _command(self) -> list[str]:
        options = {
            "config": self._folder.backends_config,
            "machine": self._folder.machine,
            "xenstore": self._folder.xenstore,
            "control": self._folder.control,
            "state-directory": self._folder.backends_state,
        }
        words = [f"--{name}={path}" for name, path in options.items()]
        words.append(f"--run={UNTIL_HOST_ENDS}")
        return [sys.executable, "-m", "pvdrivers.tools.pvbackd", "run", *words]
