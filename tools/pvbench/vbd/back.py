"""The backend's half of a benchmark: a store behind blkback's queues."""

import threading
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.backends.vbd.queue import ERRORS
from pvdrivers.poll.group import MODES
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.fio.store import open_store
from pvdrivers.tools.pvbench.job.counters import counters, nonzero, total
from pvdrivers.tools.pvbench.job.measurement import BackMeasurement
from pvdrivers.tools.pvbench.job.xenstore import Loop
from pvdrivers.tools.pvbench.vbd.job import VbdJob
from pvdrivers.tools.pvbench.vbd.python_null import PythonNull
from pvdrivers.tools.pvbench.vbd.xenbus import DrivenBackend, device_config
from pvdrivers.xenstore.client import XenstoreClient


class Back:
    """Queues of one device and the store they serve.

    The calls come in this order: open, measurement as often as wanted, finish, close. The poll loop
    runs in a thread of its own once the device is connected; it is all C unless the store is not.
    """

    def __init__(
        self, machine: Machine, domid: int, frontend: int, job: VbdJob, xenstore: str
    ) -> None:
        self._job = job
        self._path = device_config(job, frontend, domid).backend_path
        self._xenstore = xenstore
        spec = job.store
        self._store = PythonNull(spec.size) if spec.kind == "python" else open_store(spec)
        self._hypervisor = machine.open_hypervisor(domid)
        self._loop = Loop()
        self._device: DrivenBackend | None = None
        self._queues: list[Any] = []
        self._stop = ffi.new("uint32_t *")
        self._thread = threading.Thread(target=self._poll, name="pvbench back", daemon=True)

    def open(self) -> None:
        """Begins to connect."""
        self._loop.call(self._open())

    async def _open(self) -> None:
        options = VbdBackendOptions(
            persistent=self._job.persistent,
            max_indirect_segments=self._job.indirect,
            max_queues=self._job.queues,
        )
        client = await XenstoreClient.connect(self._xenstore)
        context = DeviceContext(client, self._path, self._hypervisor)
        self._device = DrivenBackend(context, self._store, options)
        self._device.serve_queues, self._device.leave = self._start, self._leave
        self._device.start()

    def _start(self, queues: list[Any]) -> None:
        self._queues = queues
        self._thread.start()

    def _poll(self) -> None:
        pollables = [lib.pv_blkback_pollable(queue) for queue in self._queues]
        if isinstance(self._store, PythonNull):
            self._store.serve_queues(pollables, self._job.mode, self._stop)
        else:
            array = ffi.new("struct pv_pollable *[]", pollables)
            lib.pv_poll_run(array, len(pollables), MODES[self._job.mode], self._stop)

    def check(self) -> None:
        """Raises BenchError when the poll loop has ended."""
        if not self._thread.is_alive():
            raise BenchError("the backend has stopped")

    def finish(self) -> BackMeasurement:
        """Ends the poll loop; returns what the queues counted."""
        self._leave()
        return self.measurement()

    def measurement(self) -> BackMeasurement:
        """What the queues have counted until now."""
        stats = [self._stats(queue) for queue in self._queues]
        errors = total(dict(zip(ERRORS, each.errors, strict=True)) for each in stats)
        return BackMeasurement(total(map(counters, stats)), nonzero(errors))

    def _stats(self, queue: Any) -> Any:
        stats = ffi.new("struct pv_blkback_stats *")
        lib.pv_blkback_get_stats(queue, stats)
        return stats

    def _leave(self) -> None:
        self._stop[0] = 1
        if self._thread.is_alive():
            self._thread.join()

    def close(self) -> None:
        if self._device:
            self._loop.call(self._device.abort())
        self._loop.close()
        self._store.close()
        self._hypervisor.close()
