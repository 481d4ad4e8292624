"""The backend's process with network devices: a service with all vifs, each on a hairpin."""

from pvdrivers.backends.uplinks.uplink import HairpinUplink, Uplink
from pvdrivers.backends.vnif.device import VnifBackend
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
        """A queue has two rings of a page each."""
        vifs = self._service.devices.values()
        return sum(2 * len(vif.queues) for vif in vifs if isinstance(vif, VnifBackend))
