"""An object in a process of its own, called by JSON lines.

The process reads a line that says how to make the object, and then calls, `[name, argument ...]` a
line, from standard input; it answers each with one line. Standard input's end ends it.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from pvdrivers.ring.errors import PeerError
from pvdrivers.tools.pvbench.errors import BenchError, OptionError

T = TypeVar("T")


class Served(Protocol):
    def close(self) -> None: ...


class Answer(Struct):
    value: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    option_error: bool = False


def serve(make: Callable[[bytes], Served]) -> None:
    """Makes an object from the first line of standard input, and carries out the calls."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to pvbench, which ends this process
    made: Served | None = None
    with ExitStack() as stack:
        for line in sys.stdin.buffer:
            try:
                if made is None:
                    made = stack.enter_context(closing(make(line)))
                    answer = Answer()
                else:
                    name, *arguments = msgspec.json.decode(line)
                    value = getattr(made, name)(*arguments)
                    answer = Answer(msgspec.Raw(msgspec.json.encode(value)))
            except (BenchError, OptionError, PeerError, OSError) as error:
                answer = Answer(error=str(error), option_error=isinstance(error, OptionError))
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()


class Remote:
    """The caller's end: `python -m MODULE ARGUMENT ...`, and its object made from `first`."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], first: Struct) -> None:
        self._name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            self._exchange(first)
        except BaseException:
            self.close()
            raise

    def _exchange(self, question: object) -> msgspec.Raw:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(msgspec.json.encode(question) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise BenchError(f"the {self._name} process has died") from None
        reply = self._process.stdout.readline()
        if not reply:
            raise BenchError(f"the {self._name} process has died")
        answer = msgspec.json.decode(reply, type=Answer)
        if answer.error:
            raise (OptionError if answer.option_error else BenchError)(answer.error)
        return answer.value

    def call(self, returns: type[T], name: str, *arguments: object) -> T:
        """Calls a method. Raises what it raises: BenchError, or OptionError."""
        return msgspec.json.decode(self._exchange([name, *arguments]), type=returns)

    def check(self) -> None:
        """Raises BenchError when the process has died."""
        if self._process.poll() is not None:
            raise BenchError(f"the {self._name} process has died")

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
