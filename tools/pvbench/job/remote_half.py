"""One half of a benchmark in a process of its own.

A class's module calls `serve_half` when it is run: `python -m MODULE front|back MACHINE XENSTORE
DOMID PEER`, of which MACHINE and XENSTORE are sockets, DOMID and PEER domids; see remote.py.
"""

import os
import sys
from typing import Generic, Literal, Protocol, TypeVar

import msgspec

from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.job.job import Job, Sockets
from pvdrivers.tools.pvbench.job.measurement import AnyMeasurement, BackMeasurement, Progress
from pvdrivers.tools.pvbench.job.remote import Remote, Served, serve

Half = Literal["front", "back"]
AnyJob = TypeVar("AnyJob", bound=Job, contravariant=True)


class MakeHalf(Protocol[AnyJob]):
    def __call__(
        self, machine: Machine, domid: int, peer: int, job: AnyJob, xenstore: str, /
    ) -> Served: ...


def serve_half(job_type: type[AnyJob], front: MakeHalf[AnyJob], back: MakeHalf[AnyJob]) -> None:
    """Serves the half that the command line names, made from the first line of standard input."""
    half, socket, xenstore, domid, peer = sys.argv[1:]

    def make(line: bytes) -> Served:
        job = msgspec.json.decode(line, type=job_type)
        if job.cpus:  # before the half starts its threads, which inherit it
            os.sched_setaffinity(0, {job.cpus[half == "back"]})
        kind = front if half == "front" else back
        return kind(machine, int(domid), int(peer), job, xenstore)

    with Machine.attach(socket) as machine:
        serve(make)


class _RemoteHalf(Remote):
    def __init__(
        self, half: Half, module: str, sockets: Sockets, domid: int, peer: int, job: Job
    ) -> None:
        super().__init__(half, module, [half, *sockets, str(domid), str(peer)], job)

    def open(self) -> None:
        self.call(type(None), "open")


class RemoteFront(_RemoteHalf, Generic[AnyMeasurement]):
    """A `FrontHalf` in a process of its own."""

    def __init__(
        self,
        module: str,
        measurement: type[AnyMeasurement],
        sockets: Sockets,
        domid: int,
        backend: int,
        job: Job,
    ) -> None:
        super().__init__("front", module, sockets, domid, backend, job)
        self._measurement = measurement

    def connect(self) -> None:
        self.call(type(None), "connect")

    def start(self) -> None:
        self.call(type(None), "start")

    def go(self) -> None:
        self.call(type(None), "go")

    def progress(self) -> Progress:
        return self.call(Progress, "progress")

    def stop(self) -> None:
        self.call(type(None), "stop")

    def measurement(self) -> AnyMeasurement:
        return self.call(self._measurement, "measurement")

    def finish(self) -> AnyMeasurement:
        return self.call(self._measurement, "finish")


class RemoteBack(_RemoteHalf):
    """A `BackHalf` in a process of its own."""

    def __init__(self, module: str, sockets: Sockets, domid: int, frontend: int, job: Job) -> None:
        super().__init__("back", module, sockets, domid, frontend, job)

    def measurement(self) -> BackMeasurement:
        return self.call(BackMeasurement, "measurement")

    def finish(self) -> BackMeasurement:
        return self.call(BackMeasurement, "finish")
