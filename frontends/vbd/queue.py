"""A queue of the block frontend: the data plane's in C, as `pvdrivers.frontends.device` has it."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import PeerError
from pvdrivers.vbd.features import Agreement, DeviceInfo
from pvdrivers.xenbus.keys import QueueKeys

BUDGET = 256  # answers taken at once


def new_done() -> Any:
    return ffi.new("struct pv_blkfront_io *[]", BUDGET)


class VbdQueue:
    """Holds a `struct pv_blkfront_queue *`. `finish` is called with each `struct pv_blkfront_io *`
    that is answered or given up."""

    second_port = 0

    def __init__(self, config: Mapping[str, Any], done: Any, finish: Callable[[Any], None]) -> None:
        """`config`: fields of `struct pv_blkfront_config`. `done`: an array of pointers for what is
        finished, which queues of one driver can share. OSError: there is no room for a queue."""
        self.pointer = lib.pv_blkfront_create(ffi.new("struct pv_blkfront_config *", config))
        if self.pointer == ffi.NULL:
            raise OSError(ffi.errno, f"no ring: {os.strerror(ffi.errno)}")
        self._finish = finish
        self._done = done

    @property
    def keys(self) -> QueueKeys:
        """What the backend has to know of it."""
        refs = ffi.new("grant_ref_t **")
        count = lib.pv_blkfront_ring_refs(self.pointer, ffi.cast("const grant_ref_t **", refs))
        return QueueKeys(tuple(int(refs[0][index]) for index in range(count)), self.port)

    @property
    def port(self) -> int:
        return int(lib.pv_blkfront_port(self.pointer))

    @property
    def outstanding(self) -> int:
        return int(lib.pv_blkfront_outstanding(self.pointer))

    @property
    def has_news(self) -> bool:
        """Some requests need no backend: they are finished already."""
        return bool(lib.pv_blkfront_has_news(self.pointer))

    def statistics(self) -> dict[str, int]:
        stats = ffi.new("struct pv_blkfront_stats *")
        lib.pv_blkfront_get_stats(self.pointer, stats)
        names = (name for name, _ in ffi.typeof("struct pv_blkfront_stats").fields)
        return {name: int(getattr(stats, name)) for name in names}

    def connect(self, agreement: Agreement, info: DeviceInfo) -> None:
        """Begins to issue requests, by what both ends agreed on. PeerError: that cannot be."""
        features = {
            "flush": agreement.flush,
            "barrier": agreement.barrier,
            "discard": agreement.discard,
            "secure_discard": agreement.discard_secure,
            "transient_grants": not agreement.persistent,
            "sector_size": info.sector_size,
        }
        offered = ffi.new("struct pv_blkfront_features *", features)
        if (error := lib.pv_blkfront_connect(self.pointer, offered)) < 0:
            raise PeerError(f"the ring cannot be used: {os.strerror(-error)}")

    def submit(self, ios: Any) -> int:
        """Issues an array of `struct pv_blkfront_io`: 0 or a negative errno."""
        pointers = ffi.new("struct pv_blkfront_io *[]", [ios + i for i in range(len(ios))])
        return int(lib.pv_blkfront_submit(self.pointer, pointers, len(ios)))

    def poll(self, budget: int) -> int:
        count = int(lib.pv_blkfront_poll(self.pointer, self._done, min(budget, BUDGET)))
        if count < 0:
            what = lib.pv_blkfront_broken(self.pointer)
            raise PeerError(f"the backend broke the ring protocol ({what})")
        self._finish_first(count)
        return count

    def arm(self) -> bool:
        broken = lib.pv_blkfront_broken(self.pointer)
        return not broken and bool(lib.pv_blkfront_arm(self.pointer))

    def disconnect(self) -> None:
        lib.pv_blkfront_stop(self.pointer)
        lib.pv_blkfront_disconnect(self.pointer)

    def requeue(self, successor: "VbdQueue") -> int:
        return max(0, int(lib.pv_blkfront_requeue(self.pointer, successor.pointer)))

    def give_up(self) -> None:
        lib.pv_blkfront_stop(self.pointer)
        while (count := int(lib.pv_blkfront_give_up(self.pointer, self._done, BUDGET))) > 0:
            self._finish_first(count)

    def close(self) -> None:
        lib.pv_blkfront_destroy(self.pointer)

    def _finish_first(self, count: int) -> None:
        for index in range(count):
            self._finish(self._done[index])
