"""The frontend's half of a benchmark, of any device class: a workload in a thread of its own."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from pvdrivers.frontends.device import Queue
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.job.counters import difference, total
from pvdrivers.tools.pvbench.job.xenstore import Loop
from pvdrivers.xenstore.client import XenstoreClient

Counters = dict[str, dict[str, int]]


class Workload(Protocol):
    def run(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


class Device(Protocol):
    @property
    def queues(self) -> Sequence[Queue]: ...

    def start(self) -> Any: ...

    async def connected(self) -> Any: ...

    async def abort(self) -> None: ...


class DeviceJob(Protocol):
    @property
    def queues(self) -> int: ...


AnyJob = TypeVar("AnyJob", bound=DeviceJob)
AnyDevice = TypeVar("AnyDevice", bound=Device)
AnyWorkload = TypeVar("AnyWorkload", bound=Workload)


class WorkloadFront(Generic[AnyJob, AnyDevice, AnyWorkload], ABC):
    """Queues of one device and the workload on them.

    The calls come in this order: open, connect, start, go once its phase is "ready", progress and
    measurement as often as wanted, finish, close. A class adds `progress` and `measurement`.
    """

    def __init__(
        self, machine: Machine, domid: int, backend: int, job: AnyJob, xenstore: str
    ) -> None:
        self._machine, self._domid, self._backend, self._job = machine, domid, backend, job
        self._hypervisor: Hypervisor = machine.open_hypervisor(domid)
        self._xenstore = xenstore
        self._loop = Loop()
        self._device: AnyDevice | None = None
        self._queues: Sequence[Queue] = ()
        self._workload: AnyWorkload | None = None
        self._phase = "idle"
        self._began_ns = 0  # the run
        self._failure: str | None = None
        self._before: Counters = {}
        self._costs: Counters = {}
        self._go = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pvbench front", daemon=True)

    # ---- what a class fills in -------------------------------------------------------------

    @abstractmethod
    def _make_device(self, client: XenstoreClient) -> AnyDevice:
        """It calls `_leave` before its queues go away."""

    @abstractmethod
    def _make_workload(self, device: AnyDevice, info: Any) -> AnyWorkload:
        """`info`: what the device's `connected` has returned."""

    def _driven_queues(self, device: AnyDevice) -> Sequence[Queue]:
        """Those of the device that the workload drives."""
        return device.queues

    def _prepare(self, workload: AnyWorkload) -> None:
        """What comes before the run, and is not measured."""

    def _check(self, workload: AnyWorkload) -> None:
        """What comes after it."""

    # ---- running ---------------------------------------------------------------------------

    def open(self) -> None:
        """Begins to connect."""
        self._loop.call(self._open())

    async def _open(self) -> None:
        client = await XenstoreClient.connect(self._xenstore)
        self._device = self._make_device(client)
        self._device.start()

    def connect(self) -> None:
        """Waits until both ends are connected."""
        assert self._device
        info = self._loop.call(self._device.connected())
        self._queues = self._driven_queues(self._device)
        if len(self._queues) != self._job.queues:
            raise BenchError(f"the backend has {len(self._queues)} queues at most")
        self._workload = self._make_workload(self._device, info)

    def start(self) -> None:
        """Makes ready."""
        self._thread.start()

    def go(self) -> None:
        """Begins the run."""
        self._go.set()

    def _work(self) -> None:
        assert self._workload
        try:
            self._prepare(self._workload)
            self._phase = "ready"
            self._go.wait()
            self._began_ns = time.monotonic_ns()
            self._phase = "run"
            self._count(self._before)
            self._workload.run()
            self._count(self._costs)
            self._check(self._workload)
        except (BenchError, OSError) as error:
            self._failure = str(error)
        self._phase = "done"

    def _count(self, counts: Counters) -> None:
        counts["front"] = total(queue.statistics() for queue in self._queues)
        counts["front accounts"] = self._machine.domain(self._domid).accounts
        counts["back accounts"] = self._machine.domain(self._backend).accounts

    def _costs_so_far(self) -> dict[str, Any]:
        """Of the run, as fields of its measurement."""
        before, now = dict(self._before), dict(self._costs)
        if not now:
            self._count(now)
        costs = {kind: difference(now[kind], before.get(kind, now[kind])) for kind in now}
        return {
            "front": costs["front"],
            "front_accounts": costs["front accounts"],
            "back_accounts": costs["back accounts"],
        }

    def stop(self) -> None:
        """Ends the run early; what is outstanding is still answered."""
        if self._workload:
            self._workload.stop()
        self._go.set()

    def _leave(self) -> None:
        self.stop()
        if self._thread.is_alive():
            self._thread.join()

    def close(self) -> None:
        if self._device:
            self._loop.call(self._device.abort())
        self._loop.close()
        if self._workload:
            self._workload.close()
        self._hypervisor.close()
