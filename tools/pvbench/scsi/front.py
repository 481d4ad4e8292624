"""The frontend's half of a benchmark of a SCSI disk."""

from typing import Any

from msgspec import structs

from pvdrivers.scsi.features import FrontendFeatures
from pvdrivers.tools.pvbench.fio.front import FioFront
from pvdrivers.tools.pvbench.fio.measurement import Clone, Measurement
from pvdrivers.tools.pvbench.scsi.job import ScsiJob
from pvdrivers.tools.pvbench.scsi.xenbus import DrivenFrontend, device_config
from pvdrivers.xenstore.client import XenstoreClient


class Front(FioFront[ScsiJob, DrivenFrontend]):
    def _make_device(self, client: XenstoreClient) -> DrivenFrontend:
        path = device_config(self._domid, self._backend).frontend_path
        features = FrontendFeatures(self._hypervisor.abi.protocol, self._job.segments)
        device = DrivenFrontend(client, path, self._hypervisor, features)
        device.leave = self._leave
        device.depth = self._job.iodepth * self._job.numjobs
        device.unit, device.command = self._job.unit, self._job.command
        device.buffer_pages = self._buffer_pages()
        return device

    def _size(self, info: Any) -> int:
        """As it was configured; a guest's driver asks the disk."""
        return self._job.store.size

    def measurement(self) -> Measurement:
        """What moves no blocks moves no bytes."""
        measured = super().measurement()
        return _without_bytes(measured) if self._job.command else measured

    def close(self) -> None:
        super().close()
        if self._device:
            self._device.close_lun()


def _without_bytes(measured: Measurement) -> Measurement:
    def clone(of: Clone) -> Clone:
        directions = [structs.replace(direction, bytes=0) for direction in of.directions]
        return structs.replace(of, directions=directions)

    return structs.replace(measured, clones=[clone(of) for of in measured.clones])
