"""The guests' process with network devices: all frontends, and packets through one of them."""

import asyncio
from collections.abc import Sequence
from contextlib import closing

from pvdrivers._core import lib
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.job.xenstore import Loop
from pvdrivers.tools.pvbench.scale.frontends import RAMP_NS
from pvdrivers.tools.pvbench.scale.processors import pin_thread
from pvdrivers.tools.pvbench.scale.spec import Activity, ScaleSpec
from pvdrivers.tools.pvbench.vnif.workload import PacketWorkload
from pvdrivers.tools.pvbench.vnif.xenbus import DrivenFrontend
from pvdrivers.vnif.config import vif_config
from pvdrivers.vnif.features import FrontendFeatures
from pvdrivers.xenstore.client import XenstoreClient

BATCH = 32


class VifGuest:
    """One domain's network device."""

    def __init__(self, hypervisor: Hypervisor, client: XenstoreClient) -> None:
        self._hypervisor, self._client = hypervisor, client
        path = vif_config(0, hypervisor.domid).frontend_path
        self.device = DrivenFrontend(client, path, hypervisor, FrontendFeatures(control_ring=False))
        self.device.release_queues = lambda: None  # no packet outlives a call

    async def connect(self) -> None:
        self.device.start()
        await self.device.connected()

    async def close(self) -> None:
        await self.device.abort()
        self._client.close()
        self._hypervisor.close()


class VifFrontends:
    """All guests, in the order in which they came; the first is the one that may be active."""

    def __init__(self, machine: Machine, xenstore: str, spec: ScaleSpec) -> None:
        self._machine, self._xenstore, self._spec = machine, xenstore, spec
        self._loop = Loop()
        self._guests: list[VifGuest] = []

    def connect(self, domids: Sequence[int]) -> None:
        """Brings the devices of these domains to Connected, all at once."""
        self._loop.call(self._connect(domids))

    async def _connect(self, domids: Sequence[int]) -> None:
        guests = [await self._open(domid) for domid in domids]
        self._guests += guests
        await asyncio.gather(*(guest.connect() for guest in guests))

    async def _open(self, domid: int) -> VifGuest:
        hypervisor = self._machine.open_hypervisor(domid)
        return VifGuest(hypervisor, await XenstoreClient.connect(self._xenstore))

    def run(self, active: int, seconds: float, size: int) -> Activity:
        """Frames of `size` bytes from the first guest and back."""
        assert active == 1
        pin_thread(self._spec.front_cpus[0] if self._spec.front_cpus else None, self._spec.shared)
        workload = PacketWorkload(
            self._guests[0].device,
            "event" if self._spec.mode == "event" else "poll",
            pattern=int(lib.PV_PACKETS_BOTH),
            size=size,
            batch=BATCH,
            runtime_ns=int(seconds * 1e9),
            ramp_ns=RAMP_NS,
        )
        with closing(workload):
            workload.run()
            result = workload.result()
            count = int(result.rx.packets)
            return Activity(count * 1e9 / result.elapsed_ns, [count])

    def close(self) -> None:
        self._loop.call(self._close())
        self._loop.close()

    async def _close(self) -> None:
        for guest in self._guests:
            await guest.close()
        await asyncio.sleep(0)  # transports close on the loop
