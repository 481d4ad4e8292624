"""The guest's end of a SCSI host on xenbus, as in any other program; only the queue, once it is
connected, is left to the benchmark's own thread."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.frontends.scsi.device import ScsiFrontend
from pvdrivers.ring.abi import SECTOR
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.config import LunConfig, scsi_config
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.toolstack.devices import DeviceConfig

ADDRESS = ScsiAddress(0, 0, 0, 0)


def device_config(frontend: int, backend: int) -> DeviceConfig:
    """The host a toolstack would have configured for a job."""
    return scsi_config(0, frontend, backend, luns=[LunConfig("disk", ADDRESS)])


class DrivenFrontend(ScsiFrontend):
    """`leave` is called before the queue goes away, and must not return before it is unused."""

    leave: Callable[[], None]
    depth: int  # commands outstanding at most
    _lun: Any = ffi.NULL

    def serve(self) -> None:
        """The workload's thread does."""

    def load_queues(self) -> list[Any]:
        """As `LoadedDevice` has them. BenchError: the backend does not serve the disk."""
        if ADDRESS not in self.luns:
            raise BenchError("the backend does not serve the disk")
        config = {"queue": self.queues[0].pointer, "block_size": SECTOR, "commands": self.depth}
        self._lun = lib.pv_load_lun_create(ffi.new("struct pv_load_lun_config *", config))
        if self._lun == ffi.NULL:
            raise BenchError(f"no commands for the disk: {os.strerror(ffi.errno)}")
        return [lib.pv_load_lun_queue(self._lun)]

    async def disconnect(self) -> None:
        await asyncio.to_thread(self.leave)
        await super().disconnect()

    def close_lun(self) -> None:
        """No workload uses it any more."""
        lib.pv_load_lun_destroy(self._lun)
        self._lun = ffi.NULL
