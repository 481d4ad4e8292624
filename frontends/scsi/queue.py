"""The ring of a SCSI frontend: the data plane's in C, as `pvdrivers.frontends.device` has it."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import PeerError, UsageError
from pvdrivers.scsi.features import Agreement
from pvdrivers.xenbus.keys import QueueKeys

BUDGET = 64  # answers taken at once
VIOLATIONS = {
    number: name.removeprefix("PV_SCSIFRONT_").lower().replace("_", " ")
    for number, name in ffi.typeof("enum pv_scsifront_violation").elements.items()
}


class ScsiQueue:
    """Holds a `struct pv_scsifront_queue *`. `finish` is called with each `struct
    pv_scsifront_command *` that has ended, `handed_out` when some have that have a `finished` of
    their own."""

    second_port = 0

    def __init__(
        self,
        config: Mapping[str, Any],
        finish: Callable[[Any], None],
        handed_out: Callable[[], None],
    ) -> None:
        """`config`: fields of `struct pv_scsifront_config`. OSError: there is no room for it."""
        self.pointer = lib.pv_scsifront_create(ffi.new("struct pv_scsifront_config *", config))
        if self.pointer == ffi.NULL:
            raise OSError(ffi.errno, f"no ring: {os.strerror(ffi.errno)}")
        self._finish, self._handed_out = finish, handed_out
        self._done = ffi.new("struct pv_scsifront_command *[]", BUDGET)

    @property
    def keys(self) -> QueueKeys:
        """What the backend has to know of it."""
        return QueueKeys((int(lib.pv_scsifront_ring_ref(self.pointer)),), self.port)

    @property
    def port(self) -> int:
        return int(lib.pv_scsifront_port(self.pointer))

    @property
    def outstanding(self) -> int:
        return int(lib.pv_scsifront_outstanding(self.pointer))

    @property
    def has_news(self) -> bool:
        """Some commands need no backend: they have ended already."""
        return bool(lib.pv_scsifront_has_news(self.pointer))

    @property
    def max_length(self) -> int:
        """Bytes of data that a command may have."""
        return int(lib.pv_scsifront_max_length(self.pointer))

    def statistics(self) -> dict[str, int]:
        stats = ffi.new("struct pv_scsifront_stats *")
        lib.pv_scsifront_get_stats(self.pointer, stats)
        names = (name for name, _ in ffi.typeof("struct pv_scsifront_stats").fields)
        return {name: int(getattr(stats, name)) for name in names}

    def connect(self, agreement: Agreement) -> None:
        """Begins to issue commands. UsageError: there is no room for their data."""
        if (error := lib.pv_scsifront_connect(self.pointer, agreement.max_segments)) < 0:
            raise UsageError(f"no pages for data: {os.strerror(-error)}")

    def submit(self, commands: Sequence[Any]) -> bool:
        """Issues `struct pv_scsifront_command *` with data of `max_length` at most; false: the ring
        is broken."""
        pointers = ffi.new("struct pv_scsifront_command *[]", commands)
        return int(lib.pv_scsifront_submit(self.pointer, pointers, len(commands))) == 0

    def poll(self, budget: int) -> int:
        count = int(lib.pv_scsifront_poll(self.pointer, self._done, min(budget, BUDGET)))
        if count < 0:
            what = VIOLATIONS[lib.pv_scsifront_broken(self.pointer)]
            raise PeerError(f"the backend broke the ring protocol ({what})")
        self._finish_first(count)
        return count

    def arm(self) -> bool:
        broken = lib.pv_scsifront_broken(self.pointer)
        return not broken and bool(lib.pv_scsifront_arm(self.pointer))

    def disconnect(self) -> None:
        lib.pv_scsifront_disconnect(self.pointer)

    def requeue(self, successor: "ScsiQueue") -> int:
        """What has never been on the ring goes to the successor; the rest ends there."""
        return max(0, int(lib.pv_scsifront_requeue(self.pointer, successor.pointer)))

    def give_up(self) -> None:
        lib.pv_scsifront_stop(self.pointer)
        while (count := int(lib.pv_scsifront_give_up(self.pointer, self._done, BUDGET))) > 0:
            self._finish_first(count)

    def close(self) -> None:
        lib.pv_scsifront_destroy(self.pointer)

    def _finish_first(self, count: int) -> None:
        left = int(lib.pv_scsifront_hand_out(self._done, count))
        for index in range(left):
            self._finish(self._done[index])
        if left < count:
            self._handed_out()

    def __repr__(self) -> str:
        line = ffi.new("char[]", 256)
        lib.pv_scsifront_describe(self.pointer, line, len(line))
        return f"<ScsiQueue {ffi.string(line).decode()}>"
