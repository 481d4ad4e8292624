"""pvbackd as a service of dom0's systemd, with the unit file that it prints."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from block_devices import images
from daemons import PVBACKD, shown
from serve import Lab
from step import GUEST, command, step, write_and_verify

from pvdrivers.toolstack.devices import add_device, unplug_device
from pvdrivers.vbd.config import disk_config

# In /proc/PID/status, of CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_FOWNER CAP_NET_ADMIN,
# NoNewPrivileges=yes and SystemCallFilter=.
CONFINED = {"CapBnd": f"{1 << 1 | 1 << 3 | 1 << 12:016x}", "NoNewPrivs": "1", "Seccomp": "2"}
RESTART_PATIENCE = 240.0  # seconds; the watchdog alone takes 30


async def restarted(restarts: int) -> None:
    """Until systemd itself has started the service `restarts` times and it says it is ready."""
    until = time.monotonic() + RESTART_PATIENCE
    while (seen := await shown("NRestarts", "ActiveState")) != [str(restarts), "active"]:
        assert time.monotonic() < until, seen
        await asyncio.sleep(0.5)


async def check_confinement() -> None:
    """What the unit takes away from the daemon is gone."""
    (pid,) = await shown("MainPID")
    status = (await asyncio.to_thread(Path(f"/proc/{pid}/status").read_text)).splitlines()
    found = dict(line.split(":\t", 1) for line in status)
    held = {name: found[name] for name in CONFINED}
    print("   ", held, flush=True)
    assert held == CONFINED


@step
async def unit(lab: Lab) -> None:
    """systemctl start, reload, restart, kill, stop; the watchdog; the guest goes on throughout."""
    with images("service", mebibytes=16) as (path,):
        config = disk_config("xvda", GUEST, params=path)
        async with lab.leave_to_others():
            await command("systemctl", "enable", "--now", "pvbackd")
            names = ("ActiveState", "Type", "WatchdogUSec", "StartLimitIntervalUSec", "ExecStart")
            found = await shown(*names)
            print("   ", *found, flush=True)
            assert found[:4] == ["active", "notify", "30s", "0"]
            await check_confinement()
            await add_device(lab.client, config)
            await lab.shell.wait_for("test -b /dev/xvda", 120)
            await write_and_verify(lab, "xvda")
            print("   ", await command(PVBACKD, "status"), flush=True)
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
