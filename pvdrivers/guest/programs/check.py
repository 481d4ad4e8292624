"""Tries each device that the guest begins with, and says what came of it; then it is idle."""

import asyncio
from collections.abc import Awaitable, Callable

from pvdrivers.guest.kernel import Kernel
from pvdrivers.ring.errors import PeerError
from pvdrivers.vbd.numbering import name_of


async def main(kernel: Kernel) -> None:
    """Does not return."""
    for kind, check in CHECKS.items():
        for number in await kernel.device_numbers(kind):
            try:
                print(await check(kernel, number), flush=True)
            except (PeerError, OSError) as error:
                print(f"{kind} {number} cannot be used: {error}", flush=True)
    await asyncio.Event().wait()


async def _check_disk(kernel: Kernel, number: int) -> str:
    disk = await kernel.disk(name_of(number))
    info = await disk.connected()
    await disk.read(0, 1)
    return f"{name_of(number)}: {info.sectors} sectors of 512 bytes, and can be read"


async def _check_network(kernel: Kernel, number: int) -> str:
    network = await kernel.network(number)
    return f"network device {number}: {network.mac}"


async def _check_scsi_host(kernel: Kernel, number: int) -> str:
    host = await kernel.scsi_host(number)
    return f"SCSI host {number}: LUNs {', '.join(map(str, host.luns)) or 'none'}"


CHECKS: dict[str, Callable[[Kernel, int], Awaitable[str]]] = {
    "vbd": _check_disk,
    "vif": _check_network,
    "vscsi": _check_scsi_host,
}
