"""pvbackd as a service of dom0's systemd, with the unit file that it prints."""

from __future__ import annotations

import asyncio
import os
import time

from serve import Lab
from step import GUEST, MEBIBYTE, command, step, write_and_verify

from pvdrivers.vbd.config import disk_config
from pvdrivers.xenbus.toolstack import add_device, unplug_device

RESTART_PATIENCE = 240.0  # seconds; the watchdog alone takes 30


async def shown(*properties: str) -> list[str]:
    """What systemd knows about the service."""
    output = await command("systemctl", "show", "pvbackd", *(f"-p{name}" for name in properties))
    values = dict(line.split("=", 1) for line in output.splitlines())
    return [values[name] for name in properties]


async def restarted(restarts: int) -> None:
    """Until systemd itself has started the service `restarts` times and it says it is ready."""
    until = time.monotonic() + RESTART_PATIENCE
    while (seen := await shown("NRestarts", "ActiveState")) != [str(restarts), "active"]:
        assert time.monotonic() < until, seen
        await asyncio.sleep(0.5)


@step
async def service(lab: Lab) -> None:
    """systemctl start, reload, restart, kill, stop; the watchdog; the guest goes on throughout."""
    path = "/run/service.image"
    os.mknod(path)
    os.truncate(path, 16 * MEBIBYTE)
    config = disk_config("xvda", GUEST, params=path)
    async with lab.leave_to_others():
        await command("systemctl", "enable", "--now", "pvbackd")
        names = ("ActiveState", "Type", "WatchdogUSec", "StartLimitIntervalUSec", "ExecStart")
        found = await shown(*names)
        print("   ", *found, flush=True)
        assert found[:4] == ["active", "notify", "30s", "0"]
        await add_device(lab.client, config)
        await lab.shell.wait_for("test -b /dev/xvda", 120)
        await write_and_verify(lab, "xvda")
        print("   ", await command("/opt/pvdrivers/bin/pvbackd", "status"), flush=True)
        for verb in ("reload", "restart", "stop", "start"):
            await command("systemctl", verb, "pvbackd")
            expected = "inactive" if verb == "stop" else "active"
            assert await shown("ActiveState", "Result") == [expected, "success"], verb
            if expected == "active":
                await write_and_verify(lab, "xvda", 1)
        for restarts, signal in ((1, "KILL"), (2, "STOP")):  # the watchdog ends what is stopped
            print(f"    systemctl kill -s {signal}", flush=True)
            await command("systemctl", "kill", "-s", signal, "pvbackd")
            await restarted(restarts)
            await write_and_verify(lab, "xvda", 1)
        assert await unplug_device(lab.client, config, 60)
        await command("systemctl", "disable", "--now", "pvbackd")
        assert await shown("ActiveState", "Result") == ["inactive", "success"]
    os.unlink(path)
