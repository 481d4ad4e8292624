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
from pvdrivers.tools.pvbench.scsi.job import CommandKind, UnitKind
from pvdrivers.toolstack.devices import DeviceConfig

ADDRESS = ScsiAddress(0, 0, 0, 0)
READS: dict[CommandKind | None, int] = {
    None: lib.PV_LOAD_LUN_READ,
    "tur": lib.PV_LOAD_LUN_TEST_UNIT_READY,
    "mode-sense": lib.PV_LOAD_LUN_MODE_SENSE,
}


def device_config(frontend: int, backend: int) -> DeviceConfig:
    """The host a toolstack would have configured for a job."""
    return scsi_config(0, frontend, backend, luns=[LunConfig("unit", ADDRESS)])


class DrivenFrontend(ScsiFrontend):
    """`leave` is called before the queue goes away, and must not return before it is unused."""

    leave: Callable[[], None]
    depth: int  # commands outstanding at most
    unit: UnitKind
    command: CommandKind | None
    _lun: Any = ffi.NULL

    def serve(self) -> None:
        """The workload's thread does."""

    def load_queues(self) -> list[Any]:
        """As `LoadedDevice` has them. BenchError: the backend does not serve the unit."""
        if ADDRESS not in self.luns:
            raise BenchError("the backend does not serve the unit")
        config = {
            "queue": self.queues[0].pointer,
            "reads": READS[self.command],
            "is_tape": self.unit == "tape",
            "block_size": SECTOR,
            "commands": self.depth,
        }
        self._lun = lib.pv_load_lun_create(ffi.new("struct pv_load_lun_config *", config))
        if self._lun == ffi.NULL:
            raise BenchError(f"no commands for the unit: {os.strerror(ffi.errno)}")
        return [lib.pv_load_lun_queue(self._lun)]

    async def disconnect(self) -> None:
        await asyncio.to_thread(self.leave)
        await super().disconnect()

    def close_lun(self) -> None:
        """No workload uses it any more."""
        lib.pv_load_lun_destroy(self._lun)
        self._lun = ffi.NULL
