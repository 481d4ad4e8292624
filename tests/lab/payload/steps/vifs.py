"""Our network backend serves Linux's xen-netfront, on TAP interfaces of dom0's."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack

from addresses import FAMILIES
from daemons import vif_daemon, vif_service
from network import GUEST_PATH, Traffic, attached, bridge
from network_checks import CHECKS
from network_stream import echoed
from second_guest import second_guest
from serve import Lab
from step import XL, command, frontend_keys, step, wait_until

KILLS = 2
STATES = ("/local/domain/0/backend/vif/1/0/state", f"{GUEST_PATH}/0/state")
IDLE_SCRIPT = "/run/idle/vif-bridge"  # to the daemon it is Xen's
HOTPLUG = ("XENBUS_TYPE=vif", "XENBUS_PATH=backend/vif/1/0", "vif=vif1.0")  # what libxl sets
NO_SCRIPT = "script=/bin/true"  # libxl runs some script for every vif
TWIN = """\
name = "second"
type = "pv"
kernel = "/guest/vmlinux"
ramdisk = "/guest/small.cpio"
extra = "console=hvc0 panic=5 loglevel=4 mitigations=off"
memory = 128
on_crash = "destroy"
vif = [ "bridge=lab0" ]
"""


@step
async def vif_checks(lab: Lab) -> None:
    """xl network-attach with Xen's vif-bridge; traffic, offloads, jumbo frames, queues, a limit."""
    async with vif_daemon():
        for check in CHECKS:
            print(f"    {check.__name__}: {check.__doc__}", flush=True)
            await check(lab)


@step
async def vif_without_script(lab: Lab) -> None:
    """The backend puts the interface on its bridge itself; twice the same name."""
    async with vif_daemon(), bridge():
        for _ in range(2):
            async with attached(lab, NO_SCRIPT) as traffic:
                print(f"    {await frontend_keys(lab, f'{GUEST_PATH}/0')}", flush=True)
                await traffic.verify()


@step
async def vif_killed_before_script(lab: Lab) -> None:
    """The backend is killed while it waits for the hotplug script; the next serves the vif."""
    os.makedirs(os.path.dirname(IDLE_SCRIPT), exist_ok=True)
    await command("cp", "/bin/true", IDLE_SCRIPT)
    backend, frontend = STATES
    async with vif_daemon() as daemon, bridge(), attached(lab, f"script={IDLE_SCRIPT}") as traffic:
        await wait_until(f"test $(xenstore-read {frontend}) = 4", 60)
        assert await lab.client.read_str(backend) == "2"
        await daemon.kill()
        await daemon.says("serving domain", daemon.lives)
        await command("env", *HOTPLUG, "/etc/xen/scripts/vif-bridge", "online")
        await traffic.verify()
        for state in STATES:
            assert await lab.client.read_str(state) == "4"


@step
async def vif_in_configuration(lab: Lab) -> None:
    """pvbackd.service serves a second guest of `xl create` with a vif, which reaches the first."""
    first, second = "192.168.9.2", "192.168.9.3"
    async with vif_service(), bridge(), attached(lab) as traffic:
        async with second_guest(lab, TWIN) as twin:
            other = Traffic(twin, f"vif{await command(XL, 'domid', 'second')}.0")
            await other.configure(addresses=[f"{second}/24"])
            await traffic.shell.run(f"ping -A -c 5 -w 60 -s 4000 {second}", 120)
            await twin.run(f"ping -A -c 5 -w 60 -s 4000 {first}", 120)
            await other.content(FAMILIES[0])
        await traffic.verify()


@step
async def vif_restarted(lab: Lab) -> None:
    """The backend is ended, then killed, and started again under TCP traffic, which goes on."""
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(vif_daemon())
        await stack.enter_async_context(bridge())
        traffic = await stack.enter_async_context(attached(lab))
        streams = [
            await stack.enter_async_context(echoed(lab.shell, family)) for family in FAMILIES
        ]
        changes = "/sys/class/net/eth0/carrier_changes"
        before = await lab.shell.number(changes)
        for life in range(1 + KILLS):
            for stream in streams:
                await stream.goes_on()
            if life:
                await daemon.kill()
            else:
                await daemon.end()
                await daemon.start()
            print(f"    in flight: {await daemon.taken_up(life + 1)}", flush=True)
        for stream in streams:
            await stream.goes_on()
        for state in STATES:
            assert await lab.client.read_str(state) == "4"
        assert await lab.shell.number(changes) == before
        await traffic.verify()
