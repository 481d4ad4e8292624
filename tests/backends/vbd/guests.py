"""Guests with a disk each, and what serves them: a faulty disk beside a healthy one."""

import asyncio
from typing import Any

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.sim import Machine
from pvdrivers.testing.vbd.pair import VbdPair
from pvdrivers.xenstore.client import XenstoreClient

PATIENCE = 20.0
MIB = 1 << 20


class Guests:
    """Two disks, xvda and xvdb, each of a guest of its own, and what serves them."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.dom0 = self.machine.create_domain(privileged=True)
        self.ends: dict[str, VbdPair] = {}

    async def plug(self, name: str, **disk: Any) -> None:
        guest = self.machine.create_domain()
        xenstore = next(iter(self.ends.values())).xenstore if self.ends else None
        end = VbdPair(
            self.dom0.hypervisor, guest.hypervisor, RamStore(MIB), name=name, xenstore=xenstore,
            connect=False, **({"kind": "ram", "params": str(MIB)} | disk),
        )  # fmt: skip
        self.ends[name] = await end.__aenter__()
        end.frontend.start()

    @property
    def client(self) -> XenstoreClient:
        return XenstoreClient.in_process(self.ends["xvda"].xenstore, self.dom0.domid)


async def use(end: VbdPair) -> None:
    async with asyncio.timeout(PATIENCE):
        await end.frontend.connected()
        await end.frontend.write(8, b"z" * 512)
        assert await end.frontend.read(8, 1) == b"z" * 512
