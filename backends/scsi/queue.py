"""A ring of the SCSI backend: the data plane's in C, as `pvdrivers.backends.device` has it."""

import errno
import os
from collections.abc import Iterable, Mapping
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.backends.targets.direct_access import UnitNexus
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import PeerError
from pvdrivers.scsi.address import ScsiAddress

PREFIX = "PV_SCSIBACK_"
ERRORS = tuple(  # what was wrong with a request, in the order of `pv_scsiback_stats.errors`
    name.removeprefix(PREFIX).lower()
    for _, name in sorted(ffi.typeof("enum pv_scsiback_error").elements.items())
    if name != f"{PREFIX}ERROR_COUNT"
)


class ScsiQueue:
    """Holds a `struct pv_scsiback_queue *`."""

    second_port = 0

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config`: fields of `struct pv_scsiback_config`. PeerError: the frontend's ring or port
        cannot be used. OSError: there is no room for a queue."""
        self.pointer = lib.pv_scsiback_create(_config(config))
        if self.pointer == ffi.NULL:
            reason = os.strerror(ffi.errno)
            if ffi.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE):
                raise OSError(ffi.errno, f"no ring: {reason}")
            where = f"ring {config['ring_ref']} with port {config['remote_port']}"
            raise PeerError(f"cannot use {where}: {reason}")

    @staticmethod
    def log_size(abi: Abi) -> int:
        """Bytes of its in-flight log."""
        return int(lib.pv_scsiback_inflight_size(abi))

    @staticmethod
    def is_resumable(config: Mapping[str, Any]) -> bool:
        """Whether such a queue would go on, with nothing lost, where an earlier one stopped."""
        return bool(lib.pv_scsiback_resumable(_config(config)) == 0)

    def set_luns(self, luns: Iterable[tuple[ScsiAddress, UnitNexus]]) -> None:
        """What the frontend sees from now on. OSError: there is no room for it."""
        places = [
            {"channel": at.channel, "id": at.target, "lun": at.lun, "nexus": nexus.pointer}
            for at, nexus in luns
        ]
        table = ffi.new("struct pv_scsiback_lun[]", places)
        if status := lib.pv_scsiback_set_luns(self.pointer, table, len(places)):
            raise OSError(-status, f"no table of LUNs: {os.strerror(-status)}")

    @property
    def pollable(self) -> Any:
        return lib.pv_scsiback_pollable(self.pointer)

    @property
    def port(self) -> int:
        return int(lib.pv_scsiback_port(self.pointer))

    @property
    def broken(self) -> bool:
        return bool(lib.pv_scsiback_broken(self.pointer))

    def statistics(self) -> dict[str, int]:
        """Counters, those of errors by their names."""
        stats = ffi.new("struct pv_scsiback_stats *")
        lib.pv_scsiback_get_stats(self.pointer, stats)
        names = [name for name, _ in ffi.typeof("struct pv_scsiback_stats").fields]
        counters = {name: int(getattr(stats, name)) for name in names if name != "errors"}
        return counters | dict(zip(ERRORS, map(int, stats.errors), strict=True))

    def stop(self) -> None:
        lib.pv_scsiback_stop(self.pointer)

    def quiesce(self, now: int) -> bool:
        return bool(lib.pv_scsiback_quiesce(self.pointer, now))

    def close(self) -> None:
        lib.pv_scsiback_destroy(self.pointer)


def _config(fields: Mapping[str, Any]) -> Any:
    return ffi.new("struct pv_scsiback_config *", fields)
