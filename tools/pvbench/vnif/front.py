"""One guest of a benchmark: it sends, receives or answers, and measures it."""

import threading
import time
from typing import Any

from pvdrivers._core import lib
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.job.counters import difference
from pvdrivers.tools.pvbench.job.latency import Latency
from pvdrivers.tools.pvbench.job.measurement import Counts, Progress
from pvdrivers.tools.pvbench.job.xenstore import Loop
from pvdrivers.tools.pvbench.vnif.job import MACS, VnifJob
from pvdrivers.tools.pvbench.vnif.measurement import NOTHING, Count, VnifMeasurement
from pvdrivers.tools.pvbench.vnif.workload import PacketWorkload
from pvdrivers.tools.pvbench.vnif.xenbus import DrivenFrontend, device_config, make_frontend
from pvdrivers.vnif.mac import parse_mac
from pvdrivers.xenstore.client import XenstoreClient


def pattern(job: VnifJob) -> int:
    """What of `enum pv_packet_pattern` the job's guest does."""
    if job.requests:
        return int(lib.PV_PACKETS_ASK if job.sends else lib.PV_PACKETS_ANSWER)
    if job.direction == "both":
        return int(lib.PV_PACKETS_BOTH)
    return int(lib.PV_PACKETS_SEND if job.sends else lib.PV_PACKETS_RECEIVE)


class Front:
    """Queues of one device and the workload on them, in a thread of its own.

    The calls come in this order: open, connect, start, go once its phase is "ready", progress and
    measurement as often as wanted, finish, close.
    """

    def __init__(
        self, machine: Machine, domid: int, backend: int, job: VnifJob, xenstore: str
    ) -> None:
        self._machine, self._domid, self._backend, self._job = machine, domid, backend, job
        self._hypervisor = machine.open_hypervisor(domid)
        self._xenstore = xenstore
        self._loop = Loop()
        self._device: DrivenFrontend | None = None
        self._workload: PacketWorkload | None = None
        self._phase = "idle"
        self._began_ns = 0
        self._failure: str | None = None
        self._before: dict[str, dict[str, int]] = {}
        self._costs: dict[str, dict[str, int]] = {}
        self._go = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pvbench front", daemon=True)

    def open(self) -> None:
        """Begins to connect."""
        self._loop.call(self._open())

    async def _open(self) -> None:
        client = await XenstoreClient.connect(self._xenstore)
        path = device_config(self._job, self._domid, self._backend).frontend_path
        self._device = make_frontend(self._job, client, path, self._hypervisor)
        self._device.release_queues = self._leave
        self._device.start()

    def connect(self) -> None:
        """Waits until both ends are connected."""
        assert self._device
        self._loop.call(self._device.connected())
        queues = len(self._device.queues)
        if queues != self._job.queues:
            raise BenchError(f"the backend has {queues} queues at most")
        self._workload = self._create_workload(self._device)

    def _create_workload(self, device: DrivenFrontend) -> PacketWorkload:
        job = self._job
        other = MACS["peer" if job.role == "guest" else "guest"]
        return PacketWorkload(
            device,
            job.mode,
            pattern=pattern(job),
            source=list(parse_mac(MACS[job.role])),
            destination=list(parse_mac(other)),
            size=job.frame_size,
            batch=job.batch,
            depth=job.requests,
            rate=job.rate,
            runtime_ns=job.runtime_ns,
            ramp_ns=job.ramp_ns,
            until_stopped=job.until_stopped,
        )

    # ---- running

    def start(self) -> None:
        """Makes ready."""
        self._thread.start()

    def go(self) -> None:
        """Begins the run."""
        self._go.set()

    def _work(self) -> None:
        assert self._workload
        try:
            if self._job.uplink == "switch":
                self._workload.announce(MACS[self._job.role])
            self._phase = "ready"
            self._go.wait()
            self._began_ns = time.monotonic_ns()
            self._phase = "run"
            self._count(self._before)
            self._workload.run()
            self._count(self._costs)
        except BenchError as error:
            self._failure = str(error)
        self._phase = "done"

    def _count(self, counts: dict[str, dict[str, int]]) -> None:
        assert self._device
        counts["front"] = self._device.statistics()
        counts["front accounts"] = self._machine.domain(self._domid).accounts
        counts["back accounts"] = self._machine.domain(self._backend).accounts

    def progress(self) -> Progress:
        assert self._workload
        now = self._workload.progress()
        counts = Counts([now.tx.packets, now.rx.packets], [now.tx.bytes, now.rx.bytes])
        return Progress(self._phase, self._phase == "done", [counts])

    def stop(self) -> None:
        """Ends the run; what is outstanding is still answered."""
        if self._workload:
            self._workload.stop()
        self._go.set()

    def finish(self) -> VnifMeasurement:
        """Waits for the workload's end."""
        self._thread.join()
        return self.measurement()

    def measurement(self) -> VnifMeasurement:
        """What has been measured until now."""
        assert self._workload
        before, now = dict(self._before), dict(self._costs)
        if not now:
            self._count(now)
        costs = {kind: difference(now[kind], before.get(kind, now[kind])) for kind in now}
        result = self._workload.result()
        answers = self._job.requests and not self._job.sends
        return VnifMeasurement(
            elapsed_ns=self._elapsed_ns(result),
            tx=NOTHING if answers else _count(result.tx),
            rx=NOTHING if answers else _count(result.rx),
            lost=result.lost,
            reordered=result.reordered,
            duplicated=result.duplicated,
            corrupt=result.corrupt,
            foreign=result.foreign,
            no_room=result.no_room,
            sleeps=result.sleeps,
            user_ns=result.user_ns,
            system_ns=result.system_ns,
            context_switches=result.context_switches,
            latency=Latency.of(result.latency),
            failure=self._failure,
            front=costs["front"],
            front_accounts=costs["front accounts"],
            back_accounts=costs["back accounts"],
        )

    def _elapsed_ns(self, result: Any) -> int:
        """Of the measured time; the workload itself knows when it has ended."""
        if self._phase != "run":
            return int(result.elapsed_ns)
        return max(time.monotonic_ns() - self._began_ns - self._job.ramp_ns, 0)

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


def _count(count: Any) -> Count:
    return Count(count.packets, count.bytes)
