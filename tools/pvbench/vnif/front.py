"""One guest of a benchmark: it sends, receives or answers, and measures it."""

import time
from collections.abc import Sequence
from typing import Any

from pvdrivers._core import lib
from pvdrivers.frontends.vnif.queue import VnifQueue
from pvdrivers.tools.pvbench.job.latency import Latency
from pvdrivers.tools.pvbench.job.measurement import Counts, Progress
from pvdrivers.tools.pvbench.job.workload_front import WorkloadFront
from pvdrivers.tools.pvbench.vnif.job import MACS, VnifJob
from pvdrivers.tools.pvbench.vnif.measurement import NOTHING, Count, VnifMeasurement
from pvdrivers.tools.pvbench.vnif.workload import PacketWorkload
from pvdrivers.tools.pvbench.vnif.xenbus import DrivenFrontend, device_config, make_frontend
from pvdrivers.vnif.keys import DeviceInfo
from pvdrivers.vnif.mac import parse_mac
from pvdrivers.xenstore.client import XenstoreClient


def pattern(job: VnifJob) -> int:
    """What of `enum pv_packet_pattern` the job's guest does."""
    if job.requests:
        return int(lib.PV_PACKETS_ASK if job.sends else lib.PV_PACKETS_ANSWER)
    if job.direction == "both":
        return int(lib.PV_PACKETS_BOTH)
    return int(lib.PV_PACKETS_SEND if job.sends else lib.PV_PACKETS_RECEIVE)


class Front(WorkloadFront[VnifJob, DrivenFrontend, PacketWorkload]):
    def _make_device(self, client: XenstoreClient) -> DrivenFrontend:
        path = device_config(self._job, self._domid, self._backend).frontend_path
        device = make_frontend(self._job, client, path, self._hypervisor)
        device.release_queues = self._leave
        device.static_grants = self._job.static_grants
        return device

    def _driven_queues(self, device: DrivenFrontend) -> Sequence[VnifQueue]:
        return device.packet_queues

    def _make_workload(self, device: DrivenFrontend, info: DeviceInfo) -> PacketWorkload:
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

    def _prepare(self, workload: PacketWorkload) -> None:
        if self._job.uplink == "switch":
            workload.announce(MACS[self._job.role])

    def progress(self) -> Progress:
        assert self._workload
        now = self._workload.progress()
        counts = Counts([now.tx.packets, now.rx.packets], [now.tx.bytes, now.rx.bytes])
        return Progress(self._phase, self._phase == "done", [counts])

    def finish(self) -> VnifMeasurement:
        """Waits for the workload's end."""
        self._thread.join()
        return self.measurement()

    def measurement(self) -> VnifMeasurement:
        """What has been measured until now."""
        assert self._workload
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
            **self._costs_so_far(),
        )

    def _elapsed_ns(self, result: Any) -> int:
        """Of the measured time; the workload itself knows when it has ended."""
        if self._phase != "run":
            return int(result.elapsed_ns)
        return max(time.monotonic_ns() - self._began_ns - self._job.ramp_ns, 0)


def _count(count: Any) -> Count:
    return Count(count.packets, count.bytes)
