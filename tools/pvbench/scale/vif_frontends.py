"""The guests' process with network devices: all frontends, and packets through one of them."""

from contextlib import closing

from pvdrivers._core import lib
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.tools.pvbench.scale.guest_process import RAMP_NS, GuestProcess
from pvdrivers.tools.pvbench.scale.processors import pin_thread
from pvdrivers.tools.pvbench.scale.spec import Activity
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


class VifFrontends(GuestProcess[VifGuest]):
    def _guest(self, hypervisor: Hypervisor, client: XenstoreClient) -> VifGuest:
        return VifGuest(hypervisor, client)

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
