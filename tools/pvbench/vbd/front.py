"""The frontend's half of a benchmark of a virtual block device."""

from pvdrivers.ring.abi import SECTOR
from pvdrivers.tools.pvbench.fio.front import FioFront
from pvdrivers.tools.pvbench.vbd.job import VbdJob
from pvdrivers.tools.pvbench.vbd.xenbus import DrivenFrontend, device_config, make_frontend
from pvdrivers.vbd.features import DeviceInfo
from pvdrivers.xenstore.client import XenstoreClient


class Front(FioFront[VbdJob, DrivenFrontend]):
    def _make_device(self, client: XenstoreClient) -> DrivenFrontend:
        path = device_config(self._job, self._domid, self._backend).frontend_path
        device = make_frontend(self._job, client, path, self._hypervisor)
        device.leave = self._leave
        device.buffer_pages = self._buffer_pages()
        return device

    def _size(self, info: DeviceInfo) -> int:
        return info.sectors * SECTOR
