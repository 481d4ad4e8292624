"""One half of a benchmark in a process of its own, driven by JSON lines.

`python -m pvdrivers.tools.pvbench.worker front|back MACHINE XENSTORE DOMID PEER` (two sockets, two
domids) reads the job and then the name of one call a line from standard input, and answers each
with one line. Standard input's end ends it.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from pvdrivers.ring.errors import PeerError
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.back import Back
from pvdrivers.tools.pvbench.errors import BenchError, OptionError
from pvdrivers.tools.pvbench.front import Front
from pvdrivers.tools.pvbench.job import BackMeasurement, Job, Measurement, Progress

Side = Literal["front", "back"]
Sockets = tuple[str, str]  # of the machine and of the xenstore
T = TypeVar("T")


class Answer(Struct):
    value: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    option_error: bool = False


def _reply(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


def _serve(side: Side, machine: Machine, domid: int, peer: int, xenstore: str) -> None:
    half: Front | Back | None = None
    try:
        for line in sys.stdin.buffer:
            try:
                if half is None:
                    job = msgspec.json.decode(line, type=Job)
                    if job.cpus:  # before the half starts its threads, which inherit it
                        os.sched_setaffinity(0, {job.cpus[side == "back"]})
                    kind = Front if side == "front" else Back
                    half = kind(machine, domid, peer, job, xenstore)
                    _reply(Answer())
                else:
                    value = getattr(half, line.decode().strip())()
                    _reply(Answer(msgspec.Raw(msgspec.json.encode(value))))
            except (BenchError, OptionError, PeerError, OSError) as error:
                _reply(Answer(error=str(error), option_error=isinstance(error, OptionError)))
    finally:
        if half is not None:
            half.close()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to pvbench, which ends this process
    side, socket, xenstore, domid, peer = sys.argv[1:]
    with Machine.attach(socket) as machine:
        _serve("front" if side == "front" else "back", machine, int(domid), int(peer), xenstore)


class _Remote:
    """A half that lives in a worker process."""

    def __init__(self, side: Side, sockets: Sockets, domid: int, peer: int, job: Job) -> None:
        self._side = side
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, side, *sockets, str(domid), str(peer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            self._exchange(msgspec.json.encode(job))
        except BaseException:
            self.close()
            raise

    def _exchange(self, line: bytes) -> msgspec.Raw:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise BenchError(f"the {self._side} process has died") from None
        reply = self._process.stdout.readline()
        if not reply:
            raise BenchError(f"the {self._side} process has died")
        answer = msgspec.json.decode(reply, type=Answer)
        if answer.error:
            raise (OptionError if answer.option_error else BenchError)(answer.error)
        return answer.value

    def _call(self, name: str, returns: type[T]) -> T:
        return msgspec.json.decode(self._exchange(name.encode()), type=returns)

    def open(self) -> None:
        self._call("open", type(None))

    def check(self) -> None:
        """Raises BenchError when the process has died."""
        if self._process.poll() is not None:
            raise BenchError(f"the {self._side} process has died")

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """Ends the process: at once when it does not end by itself."""
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class RemoteFront(_Remote):
    """`Front` in a process of its own."""

    def __init__(self, sockets: Sockets, domid: int, backend: int, job: Job) -> None:
        super().__init__("front", sockets, domid, backend, job)

    def connect(self) -> None:
        self._call("connect", type(None))

    def start(self) -> None:
        self._call("start", type(None))

    def progress(self) -> Progress:
        return self._call("progress", Progress)

    def stop(self) -> None:
        self._call("stop", type(None))

    def finish(self) -> Measurement:
        return self._call("finish", Measurement)


class RemoteBack(_Remote):
    """`Back` in a process of its own."""

    def __init__(self, sockets: Sockets, domid: int, frontend: int, job: Job) -> None:
        super().__init__("back", sockets, domid, frontend, job)

    def finish(self) -> BackMeasurement:
        return self._call("finish", BackMeasurement)


if __name__ == "__main__":
    main()
