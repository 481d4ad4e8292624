"""The backend's process with network devices: a service with all vifs, each on a hairpin."""

from pvdrivers.backends.uplinks.uplink import HairpinUplink, Uplink
from pvdrivers.backends.vnif.device import VnifBackend
from pvdrivers.backends.vnif.queue import VnifQueue
from pvdrivers.backends.vnif.service import VnifService
from pvdrivers.backends.vnif.vif import ServeOptions, VifConfig
from pvdrivers.tools.pvbench.scale.backend import Backend
from pvdrivers.xenstore.client import XenstoreClient


async def open_hairpin(_: VifConfig) -> Uplink:
    return HairpinUplink()


class VifBackend(Backend):
    """All vifs of domain 0."""

    async def _serve(self, xenstore: str) -> VnifService:
        self._client = await XenstoreClient.connect(xenstore)
        service = VnifService(
            self._client,
            self._hypervisor,
            lambda _: ServeOptions(open_hairpin),
            driver=self._threads,
        )
        return await service.__aenter__()

    async def _count_rings(self) -> int:
        """A page each: two of a queue, and the control ring."""
        vifs = self._service.devices.values()
        queues = [queue for vif in vifs if isinstance(vif, VnifBackend) for queue in vif.queues]
        return sum(2 if isinstance(queue, VnifQueue) else 1 for queue in queues)
