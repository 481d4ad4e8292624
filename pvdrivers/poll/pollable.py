"""Pollables written in Python: for device classes without a data plane in C."""

import errno
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from pvdrivers._core import ffi, lib
from pvdrivers.hypervisor import EventChannels
from pvdrivers.poll.group import NEVER

log = logging.getLogger("pvdrivers.poll")

T = TypeVar("T")


class PythonPollable(ABC):
    """A queue that Python code pumps; `pollable` is what a PollDriver takes.

    Its driver calls it, from the loop or, with PollThreads, from one of the threads, which then
    holds the interpreter for the time of the call. Keep the object, remove it from its driver
    before its port is unbound, and close it after that.

    What it raises is logged; it is then `broken` and never called again.
    """

    def __init__(self, channels: EventChannels, port: int, second_port: int = 0) -> None:
        """The ports are bound to `channels`; `second_port` 0: there is none."""
        self.broken: BaseException | None = None  # what it has raised
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._woken = False
        self.pollable: Any = ffi.new(
            "struct pv_pollable *",
            {
                "ops": _ops,
                "hypervisor": channels.hypervisor.cdata,
                "evtchn": channels.cdata,
                "port": port,
                "second_port": second_port,
                "fd": self._fd,
            },
        )
        _alive[self.pollable] = self

    @abstractmethod
    def pump(self, budget: int, now: int) -> int:
        """Does what there is to do, for `budget` requests at most, and without waiting.

        Returns how much it did; 0: there was nothing. `now`: monotonic time, ns, maybe virtual.
        """

    @abstractmethod
    def arm(self) -> bool:
        """Asks the other end for an event with its next request; true when one is there already."""

    def deadline(self) -> int:
        """When to pump though nothing happens, ns, or NEVER."""
        return NEVER

    def failed(self, error: BaseException) -> None:
        """Called when it has raised `error`; it is pumped no more."""
        log.error("%r has raised, and is pumped no more", self, exc_info=error)

    def wake(self) -> None:
        """Says that there is work without an event. From any thread."""
        os.eventfd_write(self._fd, 1)
        self._woken = True  # after the write: a pump that sees it set reads the eventfd

    def close(self) -> None:
        """Once it is in no driver; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _drain(self) -> None:
        """Takes the wake-ups, which would wake a broken one forever."""
        if self._woken:
            self._woken = False
            with suppress(BlockingIOError):
                os.eventfd_read(self._fd)

    def _guard(self, call: Callable[..., T], broken: T, *arguments: int) -> T:
        """The call's result; `broken` when it raises or another has."""
        if self.broken is not None:
            return broken
        try:
            return call(*arguments)
        except BaseException as error:  # above this call there is only C code
            self.broken = error
            self.failed(error)
            return broken


_alive: WeakValueDictionary[Any, PythonPollable] = WeakValueDictionary()  # by pollable


@ffi.def_extern(name="pv_python_pump", error=-errno.EPROTO)  # type: ignore[untyped-decorator]
def _pump(pollable: Any, budget: int, now: int) -> int:
    queue = _alive[pollable]
    queue._drain()
    return queue._guard(queue.pump, -errno.EPROTO, budget, now)


@ffi.def_extern(name="pv_python_arm", error=False)  # type: ignore[untyped-decorator]
def _arm(pollable: Any) -> bool:
    queue = _alive[pollable]
    return queue._guard(queue.arm, False)


@ffi.def_extern(name="pv_python_deadline", error=NEVER)  # type: ignore[untyped-decorator]
def _deadline(pollable: Any) -> int:
    queue = _alive[pollable]
    return queue._guard(queue.deadline, NEVER)


_ops = ffi.new(
    "struct pv_pollable_ops *",
    {
        "pump": lib.pv_python_pump,
        "arm": lib.pv_python_arm,
        "deadline": lib.pv_python_deadline,
    },
)
