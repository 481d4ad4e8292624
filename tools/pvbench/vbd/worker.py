"""One half of a benchmark in a process of its own.

`python -m pvdrivers.tools.pvbench.vbd.worker front|back MACHINE XENSTORE DOMID PEER`: MACHINE and
XENSTORE are sockets, DOMID and PEER domids; see `job/remote.py`.
"""

import os
import sys
from typing import Literal

import msgspec

from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.job.job import BackMeasurement, Job, Measurement, Progress, Sockets
from pvdrivers.tools.pvbench.job.remote import Remote, serve
from pvdrivers.tools.pvbench.vbd.back import Back
from pvdrivers.tools.pvbench.vbd.front import Front

Side = Literal["front", "back"]


def main() -> None:
    side, socket, xenstore, domid, peer = sys.argv[1:]

    def make(line: bytes) -> Front | Back:
        job = msgspec.json.decode(line, type=Job)
        if job.cpus:  # before the half starts its threads, which inherit it
            os.sched_setaffinity(0, {job.cpus[side == "back"]})
        kind = Front if side == "front" else Back
        return kind(machine, int(domid), int(peer), job, xenstore)

    with Machine.attach(socket) as machine:
        serve(make)


class _RemoteHalf(Remote):
    def __init__(self, side: Side, sockets: Sockets, domid: int, peer: int, job: Job) -> None:
        super().__init__(side, __name__, [side, *sockets, str(domid), str(peer)], job)

    def open(self) -> None:
        self.call(type(None), "open")


class RemoteFront(_RemoteHalf):
    """`Front` in a process of its own."""

    def __init__(self, sockets: Sockets, domid: int, backend: int, job: Job) -> None:
        super().__init__("front", sockets, domid, backend, job)

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

    def measurement(self) -> Measurement:
        return self.call(Measurement, "measurement")

    def finish(self) -> Measurement:
        return self.call(Measurement, "finish")


class RemoteBack(_RemoteHalf):
    """`Back` in a process of its own."""

    def __init__(self, sockets: Sockets, domid: int, frontend: int, job: Job) -> None:
        super().__init__("back", sockets, domid, frontend, job)

    def measurement(self) -> BackMeasurement:
        return self.call(BackMeasurement, "measurement")

    def finish(self) -> BackMeasurement:
        return self.call(BackMeasurement, "finish")


if __name__ == "__main__":
    main()
