"""What a machine's trace tells, record by record; the trace itself is C (machine.h)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class TraceEvent(IntEnum):
    """What a trace record tells; machine.h says what a, b and c are."""

    DOMAIN_STATE = 0
    EVTCHN_SEND = 1
    EVTCHN_DELIVER = 2
    GNTTAB_MAP = 3
    GNTTAB_UNMAP = 4
    GNTTAB_COPY = 5
    USER = 6


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One thing the hypervisor did, at `time` (ns), for the domain `domid`."""

    time: int
    event: TraceEvent
    domid: int
    a: int
    b: int
    c: int

    def __str__(self) -> str:
        name = self.event.name.lower()
        return f"{self.time:>12} d{self.domid} {name} {self.a:#x} {self.b:#x} {self.c:#x}"
