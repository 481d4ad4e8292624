"""Our network backend serves Linux's xen-netfront, on TAP interfaces of dom0's."""

from __future__ import annotations

from contextlib import AsyncExitStack

from addresses import FAMILIES
from daemons import vif_daemon, vif_service
from network import GUEST_PATH, Traffic, attached, bridge
from network_checks import CHECKS
from network_stream import echoed
from second_guest import second_guest
from serve import Lab
from step import frontend_keys, step

KILLS = 2
NO_SCRIPT = "script=/bin/true"  # libxl runs some script for every vif
TWIN = """\
name = "second"
type = "pv"
kernel = "/guest/vmlinux"
ramdisk = "/guest/small.cpio"
extra = "console=hvc0 panic=5 loglevel=4"
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
async def vif_in_configuration(lab: Lab) -> None:
    """pvbackd.service serves a second guest of `xl create` with a vif, which reaches the first."""
    first, second = "192.168.9.2", "192.168.9.3"
    async with vif_service(), bridge(), attached(lab) as traffic:
        async with second_guest(lab, TWIN) as twin:
            await Traffic(twin).configure(addresses=[f"{second}/24"])
            await traffic.shell.run(f"ping -A -c 5 -w 60 -s 4000 {second}", 120)
            await twin.run(f"ping -A -c 5 -w 60 -s 4000 {first}", 120)
            await Traffic(twin).content(FAMILIES[0])
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
        for end in (f"{GUEST_PATH}/0", "/local/domain/0/backend/vif/1/0"):
            assert await lab.client.read_str(f"{end}/state") == "4"
        assert await lab.shell.number(changes) == before
        await traffic.verify()
