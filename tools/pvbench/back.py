"""The backend's half of a benchmark: a store behind blkback's queues."""

import os
import threading
from typing import Any

from pvdrivers.ring._core import ffi, lib
from pvdrivers.ring.abi import SECTOR, Abi
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.errors import BenchError, OptionError
from pvdrivers.tools.pvbench.front import counters
from pvdrivers.tools.pvbench.job import BackMeasurement, Device, Job, QueueKeys, Store

MODES = {
    "poll": lib.PV_BLKBACK_POLL,
    "hybrid": lib.PV_BLKBACK_HYBRID,
    "event": lib.PV_BLKBACK_EVENT,
}
ERRORS = (
    "bad_operation",
    "bad_indirect_operation",
    "bad_segment_count",
    "bad_segment",
    "read_only",
    "out_of_range",
    "unaligned",
    "bad_grant",
    "store_error",
)
STORE_THREADS = 4  # of a store whose I/O goes to the disk


def open_store(store: Store) -> Any:
    """A C store. Raises OptionError when its file cannot be used."""
    sectors = store.size // SECTOR
    if store.kind == "null":
        opened = lib.pv_null_store_create(sectors, store.sector_size, True)
    elif store.kind == "ram":
        opened = lib.pv_ram_store_create(sectors, store.sector_size)
    else:
        assert store.path
        path = ffi.new("char[]", os.fsencode(store.path))
        config = ffi.new("struct pv_file_store_config *")
        config.path, config.sector_size = path, store.sector_size
        config.threads = STORE_THREADS if store.direct else 0
        config.direct, config.read_only = store.direct, store.read_only
        opened = lib.pv_file_store_create(config)
    if opened == ffi.NULL:
        name = store.path or f"the {store.kind} store"
        raise OptionError(f"{name} cannot be opened: {os.strerror(ffi.errno)}")
    return opened


class Back:
    """Queues of one device and the store they serve.

    The calls come in this order: open, connect, start, finish, close. The pump runs in a thread
    of its own, wholly in C.
    """

    def __init__(self, machine: Machine, domid: int, frontend: int, job: Job) -> None:
        self._frontend, self._job = frontend, job
        self._store = open_store(job.store)
        self._hypervisor = machine.open_hypervisor(domid)
        self._evtchn = self._hypervisor.open_event_channels()
        self._queues: list[Any] = []
        self._stop = ffi.new("uint32_t *")
        self._thread = threading.Thread(target=self._pump, name="pvbench back", daemon=True)

    def open(self) -> Device:
        """What the store can do."""
        geometry = self._store.geometry
        return Device(
            sectors=geometry.sectors,
            sector_size=geometry.sector_size,
            flush=geometry.can_flush,
            barrier=geometry.can_flush,
            discard=geometry.can_discard,
            secure_discard=geometry.can_secure_discard,
        )

    def connect(self, queues: list[QueueKeys]) -> None:
        """Maps the frontend's rings and binds its event channels."""
        device = self.open()
        config = ffi.new("struct pv_blkback_config *")
        config.hypervisor, config.evtchn = self._hypervisor.cdata, self._evtchn.cdata
        config.frontend, config.abi = self._frontend, Abi(self._job.abi)
        config.store, config.read_only = self._store, self._job.store.read_only
        config.flush, config.barrier = device.flush, device.barrier
        config.discard, config.secure_discard = device.discard, device.secure_discard
        config.persistent = self._job.persistent
        config.max_indirect_segments = self._job.indirect
        for keys in queues:
            refs = ffi.new("grant_ref_t[]", keys.ring_refs)
            config.ring_refs, config.ring_pages = refs, len(keys.ring_refs)
            config.remote_port = keys.event_channel
            queue = lib.pv_blkback_create(config)
            if queue == ffi.NULL:
                raise BenchError(f"the backend cannot connect: {os.strerror(ffi.errno)}")
            self._queues.append(queue)

    def start(self) -> None:
        self._thread.start()

    def _pump(self) -> None:
        queues = ffi.new("struct pv_blkback_queue *[]", self._queues)
        lib.pv_blkback_run(queues, len(self._queues), MODES[self._job.mode], self._stop)

    def check(self) -> None:
        """Raises BenchError when the pump has ended."""
        if not self._thread.is_alive():
            raise BenchError("the backend has stopped")

    def finish(self) -> BackMeasurement:
        """Ends the pump; returns what it counted."""
        self._stop[0] = 1
        self._thread.join()
        stats = ffi.new("struct pv_blkback_stats *")
        total: dict[str, int] = {}
        errors = dict.fromkeys(ERRORS, 0)
        for queue in self._queues:
            lib.pv_blkback_get_stats(queue, stats)
            for name, value in counters(stats[0]).items():
                total[name] = total.get(name, 0) + value
            for name, value in zip(ERRORS, stats.errors, strict=True):
                errors[name] += value
        return BackMeasurement(total, {name: count for name, count in errors.items() if count})

    def close(self) -> None:
        self._stop[0] = 1
        if self._thread.is_alive():
            self._thread.join()
        for queue in self._queues:
            lib.pv_blkback_stop(queue)
            while not lib.pv_blkback_quiesce(queue, 0):
                pass
            lib.pv_blkback_destroy(queue)
        self._queues = []
        lib.pv_blk_store_close(self._store)
        self._evtchn.close()
        self._hypervisor.close()
