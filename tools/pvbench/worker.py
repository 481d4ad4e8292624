"""One half of a benchmark in a process of its own, driven by JSON lines.

`python -m pvdrivers.tools.pvbench.worker front|back SOCKET DOMID PEER` reads the job and then one
call a line from standard input, and answers each with one line. Standard input's end ends it.
"""

import subprocess
import sys
from contextlib import suppress
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.back import Back
from pvdrivers.tools.pvbench.errors import BenchError, OptionError
from pvdrivers.tools.pvbench.front import Front
from pvdrivers.tools.pvbench.job import (
    BackMeasurement,
    Device,
    Job,
    Measurement,
    Progress,
    QueueKeys,
)

Side = Literal["front", "back"]
T = TypeVar("T")


class Call(Struct):
    name: str
    argument: msgspec.Raw = msgspec.Raw(b"null")


class Answer(Struct):
    value: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    option_error: bool = False


# What each call of either half takes.
ARGUMENTS: dict[tuple[Side, str], Any] = {
    ("front", "connect"): Device,
    ("back", "connect"): list[QueueKeys],
}


def _answer(side: Side, half: Front | Back, call: Call) -> Answer:
    arguments = []
    if wanted := ARGUMENTS.get((side, call.name)):
        arguments.append(msgspec.json.decode(call.argument, type=wanted))
    return Answer(msgspec.Raw(msgspec.json.encode(getattr(half, call.name)(*arguments))))


def _reply(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


def _serve(side: Side, machine: Machine, domid: int, peer: int) -> None:
    half: Front | Back | None = None
    try:
        for line in sys.stdin.buffer:
            try:
                if half is None:
                    job = msgspec.json.decode(line, type=Job)
                    half = (Front if side == "front" else Back)(machine, domid, peer, job)
                    _reply(Answer())
                else:
                    _reply(_answer(side, half, msgspec.json.decode(line, type=Call)))
            except (BenchError, OptionError, OSError) as error:
                _reply(Answer(error=str(error), option_error=isinstance(error, OptionError)))
    finally:
        if half is not None:
            half.close()


def main() -> None:
    side, socket, domid, peer = sys.argv[1:]
    with Machine.attach(socket) as machine:
        _serve("front" if side == "front" else "back", machine, int(domid), int(peer))


class _Remote:
    """A half that lives in a worker process."""

    def __init__(self, side: Side, socket: str, domid: int, peer: int, job: Job) -> None:
        self._side = side
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, side, socket, str(domid), str(peer)],
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

    def _call(self, name: str, returns: type[T], argument: object = None) -> T:
        call = Call(name, msgspec.Raw(msgspec.json.encode(argument)))
        return msgspec.json.decode(self._exchange(msgspec.json.encode(call)), type=returns)

    def start(self) -> None:
        self._call("start", type(None))

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

    def __init__(self, socket: str, domid: int, backend: int, job: Job) -> None:
        super().__init__("front", socket, domid, backend, job)

    def open(self) -> list[QueueKeys]:
        return self._call("open", list[QueueKeys])

    def connect(self, device: Device) -> None:
        self._call("connect", type(None), device)

    def progress(self) -> Progress:
        return self._call("progress", Progress)

    def stop(self) -> None:
        self._call("stop", type(None))

    def finish(self) -> Measurement:
        return self._call("finish", Measurement)


class RemoteBack(_Remote):
    """`Back` in a process of its own."""

    def __init__(self, socket: str, domid: int, frontend: int, job: Job) -> None:
        super().__init__("back", socket, domid, frontend, job)

    def open(self) -> Device:
        return self._call("open", Device)

    def connect(self, queues: list[QueueKeys]) -> None:
        self._call("connect", type(None), queues)

    def finish(self) -> BackMeasurement:
        return self._call("finish", BackMeasurement)


if __name__ == "__main__":
    main()
