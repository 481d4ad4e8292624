"""What ends the guest: it runs last."""

from __future__ import annotations

import asyncio

from addresses import FAMILIES
from daemons import vif_daemon
from network import attach, bridge
from serve import Lab
from step import GUEST, MEBIBYTE, XL, command, step, wait_until

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.vbd.device import VbdBackendOptions

WRITE = "while :; do dd if=/dev/zero of=/dev/xvda bs=1M oflag=direct; done"
SEND = f"iperf3 --client {FAMILIES[0].dom0} --bidir --time 3600"
INTERFACE = "/sys/class/net/vif1.0"  # of dom0


@step
async def guest_crash(lab: Lab) -> None:
    """The guest dies in the middle of I/O and of traffic; the backends release everything."""
    with RamStore(32 * MEBIBYTE) as store:
        async with vif_daemon(), bridge():
            await attach(lab)
            disk = await lab.plug("xvda", store, VbdBackendOptions())
            for line in (WRITE, SEND):
                await lab.shell.start(line)
            await wait_until(f"test $(cat {INTERFACE}/statistics/tx_packets) -gt 500", 120)
            assert disk.backend.statistics()["wr_req"] > 0
            await command(XL, "destroy", str(GUEST))
            assert disk.backend.task is not None
            await asyncio.wait_for(asyncio.shield(disk.backend.task), 60)
            print(f"    {disk.backend.describe()}")
            await wait_until(f"! test -e {INTERFACE}", 120)
    # As long as anybody holds a page of its, Xen keeps what is left of the domain.
    await wait_until(f"! {XL} list | awk '{{print $2}}' | grep -qx {GUEST}", 120)
