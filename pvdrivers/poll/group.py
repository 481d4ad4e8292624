"""A poll group (`include/pvdrivers/poll/group.h`) as an object."""

import os
from typing import Any, Literal, get_args

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import UsageError

NEVER = 2**64 - 1  # a deadline, ns

Mode = Literal["poll", "hybrid", "event"]
MODES: dict[Mode, int] = {
    "poll": lib.PV_POLL_MODE_POLL,
    "hybrid": lib.PV_POLL_MODE_HYBRID,
    "event": lib.PV_POLL_MODE_EVENT,
}


def check_mode(mode: str) -> None:
    """UsageError: there is no such mode."""
    if mode not in MODES:
        raise UsageError(f"{mode!r} is not a poll mode: {', '.join(get_args(Mode))}")


def _check(status: int, what: str) -> int:
    if status < 0:
        raise OSError(-status, f"{what}: {os.strerror(-status)}")
    return status


class PollGroup:
    """Pollables (`struct pv_pollable *`) that one thread drives.

    `mode` says how long one without work is polled before it is left to its event channel: long,
    as long as that has paid off lately, or not at all.
    """

    def __init__(self, mode: Mode) -> None:
        """OSError: there is no room for it."""
        self._cdata = lib.pv_poll_group_create(MODES[mode])
        if self._cdata == ffi.NULL:
            raise OSError(ffi.errno, f"no poll group: {os.strerror(ffi.errno)}")
        self._pollables: set[Any] = set()  # which are kept alive

    def __len__(self) -> int:
        return len(self._pollables)

    def __contains__(self, pollable: object) -> bool:
        return pollable in self._pollables

    def add(self, pollable: Any) -> None:
        """From any thread. OSError: there is no room, or it is in a group."""
        _check(lib.pv_poll_group_add(self._cdata, pollable), "cannot join a poll group")
        self._pollables.add(pollable)

    def remove(self, pollable: Any) -> None:
        """From any thread; the pollable is the caller's again. OSError: it is not in the group."""
        _check(lib.pv_poll_group_remove(self._cdata, pollable), "cannot leave a poll group")
        self._pollables.discard(pollable)

    # ---- an event loop's way to drive it

    def iterate(self, now: int) -> int:
        """Pumps each that is awake once; returns how many had work. `now`: monotonic, ns."""
        return _check(lib.pv_poll_group_iterate(self._cdata, now), "poll group")

    @property
    def awake(self) -> int:
        """How many have to be pumped without waiting."""
        return int(lib.pv_poll_group_awake(self._cdata))

    def fileno(self) -> int:
        """Readable when one has been woken or added."""
        return int(lib.pv_poll_group_fd(self._cdata))

    @property
    def deadline(self) -> int:
        """When to iterate though nothing else happens, ns, or NEVER; may be early."""
        return int(lib.pv_poll_group_deadline(self._cdata))

    @property
    def spurious_events(self) -> int:
        """Events that brought no work."""
        return int(lib.pv_poll_group_spurious_events(self._cdata))

    # ---- a thread's

    def run(self) -> None:
        """Drives the group until `stop`. OSError: it could not."""
        _check(lib.pv_poll_group_run(self._cdata), "poll group")

    def stop(self) -> None:
        """From any thread."""
        lib.pv_poll_group_stop(self._cdata)

    def sync(self) -> None:
        """Returns once the group's thread is between two pumps or asleep; never if it is stuck."""
        lib.pv_poll_group_sync(self._cdata)

    def close(self) -> None:
        """Call when no thread drives it. Its pollables are in no group afterwards."""
        lib.pv_poll_group_destroy(self._cdata)
        self._cdata = ffi.NULL
        self._pollables.clear()
