"""How a command ended: the device's status, or why it never got one.

SAM-5 has the statuses; the host byte is what Linux calls it, and travels in bits 16 to 23 of a
response's `rslt` (io/vscsiif.h).
"""

from enum import IntEnum
from typing import NamedTuple, Self


class Status(IntEnum):
    """Of a command that its logical unit has answered (SAM-5 5.3.1)."""

    GOOD = 0x00
    CHECK_CONDITION = 0x02
    CONDITION_MET = 0x04
    BUSY = 0x08
    RESERVATION_CONFLICT = 0x18
    TASK_SET_FULL = 0x28
    ACA_ACTIVE = 0x30
    TASK_ABORTED = 0x40


class HostByte(IntEnum):
    """What became of a command on its way to the logical unit."""

    OK = 0
    NO_CONNECT = 1
    BUS_BUSY = 2
    TIME_OUT = 3
    BAD_TARGET = 4
    ABORT = 5
    PARITY = 6
    ERROR = 7
    RESET = 8
    BAD_INTR = 9
    PASSTHROUGH = 10
    SOFT_ERROR = 11
    IMM_RETRY = 12
    REQUEUE = 13
    TRANSPORT_DISRUPTED = 14
    TRANSPORT_FAILFAST = 15
    TARGET_FAILURE = 16
    NEXUS_FAILURE = 17
    ALLOC_FAILURE = 18
    MEDIUM_ERROR = 19
    TRANSPORT_MARGINAL = 20


class Result(NamedTuple):
    """`rslt` of a CDB's response. Those of ABORT and RESET are whole words instead."""

    status: int = Status.GOOD
    host: int = HostByte.OK

    @property
    def word(self) -> int:
        return self.status | self.host << 16

    @classmethod
    def of(cls, word: int) -> Self:
        """Backends before Linux 3.18 put an error into bits 24 to 31, with a host byte and a status
        of 0: that is a failure too. Beside a status these bits say that there is sense data
        (DRIVER_SENSE), which is nothing new."""
        word &= 0xFFFFFFFF
        status, host = word & 0xFF, word >> 16 & 0xFF
        if word >> 24 and host == HostByte.OK and status == Status.GOOD:
            host = HostByte.ERROR
        return cls(status, host)


TASK_MANAGEMENT_SUCCESS = 0x2002
TASK_MANAGEMENT_FAILURE = 0x2003
