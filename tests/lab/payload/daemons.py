"""pvbackd in dom0, as a process of the steps' or as systemd's service."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from guest import Background
from serve import Lab
from step import command

from pvdrivers.tools.pvbackd.control import ask

LOG = "/run/pvbackd.log"
LOG_PATIENCE = 300.0  # seconds
CONFIG = "/run/pvbackd.toml"
CONTROL = "/run/pvbackd.control"
PVBACKD = "/opt/pvdrivers/bin/pvbackd"
VIFS = """\
unlisted = "ignore"
[[vif]]
script = "*/vif-bridge"
uplink = {kind = "tap", bridge = "", queues = 2}
limits = {wait_for_hotplug = true}
[[vif]]
uplink = {kind = "tap", queues = 2}
"""


class Daemon:
    """One pvbackd after the other, all on one log; a new life has the `settings` of its start."""

    def __init__(self, settings: str) -> None:
        self.settings = settings
        self.lives = 0
        self._process: asyncio.subprocess.Process
        self._log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

    async def start(self) -> None:
        await asyncio.to_thread(Path(CONFIG).write_text, self.settings)
        self._process = await asyncio.create_subprocess_exec(
            *(PVBACKD, "run", "--control", CONTROL, "--config", CONFIG),
            stderr=self._log,
        )
        self.lives += 1

    async def end(self) -> None:
        """SIGTERM, which must end it in order."""
        self._process.terminate()
        assert await self._process.wait() == 0

    async def kill(self) -> None:
        """SIGKILL, and another."""
        self._process.kill()
        assert await self._process.wait() == -signal.SIGKILL
        await self.start()

    async def kill_during(self, job: Background, kills: int) -> None:
        """Again and again while a guest's job writes, which goes on to its end. Some requests must
        have been in flight."""
        for life in range(kills):
            await asyncio.sleep(3)
            await self.kill()
            await self.taken_up(life + 1)
        print(f"    the job still at it: {await job.running()}")
        await job.finished(900)
        in_flight = await self.taken_up(kills)
        print(f"    in flight at the kills: {in_flight}", flush=True)
        assert any(in_flight)

    async def says(self, pattern: str, times: int = 1) -> list[str]:
        """What the pattern matches in their log, once there are at least `times` matches."""
        async with asyncio.timeout(LOG_PATIENCE):
            while True:
                found = re.findall(pattern, await asyncio.to_thread(Path(LOG).read_text))
                if len(found) >= times:
                    return found
                await asyncio.sleep(0.5)

    async def taken_up(self, times: int) -> list[int]:
        """How many requests were found in flight, once disks were taken up `times`."""
        return [int(number) for number in await self.says(r"taken up, (\d+) requests", times)]


@asynccontextmanager
async def daemon(lab: Lab, settings: str = "") -> AsyncIterator[Daemon]:
    """pvbackd with these settings serves the guest for the time of a block."""
    started = Daemon(settings)
    async with lab.leave_to_others():
        await started.start()
        yield started
        await started.end()


@asynccontextmanager
async def vif_daemon() -> AsyncIterator[Daemon]:
    """pvbackd serves all vifs, and no disks, for the time of a block. Xen's vif-bridge puts their
    interfaces on the bridge, or pvbackd where another script is named."""
    await command("modprobe", "tun")
    started = Daemon(VIFS)
    await started.start()
    await started.says("serving domain")  # xl waits ten seconds for an answer
    yield started
    await started.end()


@asynccontextmanager
async def vif_service() -> AsyncIterator[None]:
    """The same of pvbackd.service."""
    config = "/etc/pvdrivers/pvbackd.toml"
    await command("modprobe", "tun")
    os.makedirs(os.path.dirname(config), exist_ok=True)
    await asyncio.to_thread(Path(config).write_text, VIFS)
    async with running_service():
        yield
    os.unlink(config)


@asynccontextmanager
async def service(lab: Lab) -> AsyncIterator[None]:
    """pvbackd.service serves the guest for the time of a block."""
    async with lab.leave_to_others(), running_service():
        yield


@asynccontextmanager
async def running_service() -> AsyncIterator[None]:
    """pvbackd.service runs for the time of a block."""
    await command("systemctl", "start", "pvbackd")
    yield
    await command("systemctl", "stop", "pvbackd")


async def devices(control: str = "/run/pvbackd/control") -> list[dict[str, Any]]:
    """What the daemon tells of its devices, as `pvbackd status --json` does, which takes 10 s."""
    found: list[dict[str, Any]] = json.loads(await ask(control, "status"))
    return found


async def shown(*properties: str) -> list[str]:
    """What systemd knows about the service."""
    output = await command("systemctl", "show", "pvbackd", *(f"-p{name}" for name in properties))
    values = dict(line.split("=", 1) for line in output.splitlines())
    return [values[name] for name in properties]
