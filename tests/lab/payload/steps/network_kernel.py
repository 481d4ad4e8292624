"""Linux's xen-netback serves Linux's xen-netfront: what the lab's network itself can do."""

from __future__ import annotations

from netback import netback
from network_checks import CHECKS, basic
from serve import Lab
from step import on_request, step


@step
async def network_kernel(lab: Lab) -> None:
    """xl network-attach with Xen's vif-bridge; ICMP, TCP, iperf3; xl network-detach."""
    async with netback():
        await basic(lab)


@on_request
async def network_kernel_all(lab: Lab) -> None:
    """All that the steps ask of our backend, asked of Linux's: are they right?"""
    async with netback("max_queues=2"):
        for check in CHECKS:
            print(f"    {check.__name__}: {check.__doc__}", flush=True)
            await check(lab)
