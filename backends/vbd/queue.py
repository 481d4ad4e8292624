"""A queue of the block backend: the data plane's in C, as `pvdrivers.backends.device` has it."""

import errno
import os
from collections.abc import Mapping
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.backends.stores.store import BlockStore, StoreOperation
from pvdrivers.backends.vbd.store_errors import StoreError, StoreErrors
from pvdrivers.ring.errors import PeerError

PREFIX = "PV_BLKBACK_"
ERRORS = tuple(  # why a request was not carried out, in the order of `pv_blkback_stats.errors`
    name.removeprefix(PREFIX).lower()
    for _, name in sorted(ffi.typeof("enum pv_blkback_error").elements.items())
    if name != f"{PREFIX}ERROR_COUNT"
)


class VbdQueue:
    """Holds a `struct pv_blkback_queue *`."""

    second_port = 0

    def __init__(self, config: Mapping[str, Any], store: BlockStore, errors: StoreErrors) -> None:
        """`config`: fields of `struct pv_blkback_config`. PeerError: the frontend's ring or port
        cannot be used. OSError: there is no room for a queue."""
        self.pointer = lib.pv_blkback_create(_config(config, store))
        self._store = store
        self._errors = errors
        self._errors_seen = 0
        if self.pointer == ffi.NULL:
            reason = os.strerror(ffi.errno)
            if ffi.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE):
                raise OSError(ffi.errno, f"no ring: {reason}")
            refs = list(config["ring_refs"])
            where = f"ring {refs} with port {config['remote_port']}"
            raise PeerError(f"cannot use {where}: {reason}")

    @staticmethod
    def is_resumable(config: Mapping[str, Any], store: BlockStore) -> bool:
        """Whether such a queue would go on, with nothing lost, where an earlier one stopped."""
        return bool(lib.pv_blkback_resumable(_config(config, store)) == 0)

    @property
    def pollable(self) -> Any:
        return lib.pv_blkback_pollable(self.pointer)

    @property
    def port(self) -> int:
        return int(lib.pv_blkback_port(self.pointer))

    @property
    def broken(self) -> bool:
        return bool(lib.pv_blkback_broken(self.pointer))

    def statistics(self) -> dict[str, int]:
        """Counters; the first seven as Linux names them in sysfs."""
        stats = ffi.new("struct pv_blkback_stats *")
        lib.pv_blkback_get_stats(self.pointer, stats)
        counters = {}
        for name, field in ffi.typeof("struct pv_blkback_stats").fields:
            value = getattr(stats, name)
            counters[name] = sum(value) if field.type.kind == "array" else int(value)
        return counters

    def log_store_errors(self) -> None:
        """Those since the last call; and the queue tells of the next."""
        last = ffi.new("struct pv_blkback_store_error *")
        lib.pv_blkback_take_faults(self.pointer, last)
        new, self._errors_seen = int(last.count) - self._errors_seen, int(last.count)
        if new:
            error = StoreError(StoreOperation(last.op), last.sector, last.nr_sectors, last.error)
            self._errors.add(error, new, self._store)

    def stop(self) -> None:
        lib.pv_blkback_stop(self.pointer)

    def quiesce(self, now: int) -> bool:
        return bool(lib.pv_blkback_quiesce(self.pointer, now))

    def close(self) -> None:
        self.log_store_errors()
        lib.pv_blkback_destroy(self.pointer)


def _config(fields: Mapping[str, Any], store: BlockStore) -> Any:
    return ffi.new("struct pv_blkback_config *", {**fields, "store": store.pointer})
