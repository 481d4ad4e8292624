"""Records of Xen's trace files, and which kinds there are."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

CPU_CHANGE, WRAP, LOST = 0x1F003, 0x1F002, 0x1F001
RUNSTATE_CHANGE = 0x21001

# Event: extra words. These, each with a time, are all that a trace of Xen 4.17 in QEMU has, taken
# with `xentrace -e 0x2f000` while two guests slept and computed on one CPU with sched=credit.
OF_XEN = {
    0x21002: 1,  # CONTINUE_RUNNING
    0x21011: 1,  # RUNSTATE_CHANGE, running to runnable
    0x21021: 1,  # running to blocked
    0x21101: 1,  # runnable to running
    0x21211: 1,  # blocked to runnable
    0x22002: 3,  # credit: ACCOUNT_START
    0x22003: 3,  # ACCOUNT_STOP
    0x22005: 3,  # PICKED_CPU
    0x22006: 1,  # TICKLE
    0x22007: 2,  # BOOST_START
    0x22008: 2,  # BOOST_END
    0x22009: 1,  # SCHEDULE
    0x28004: 2,  # WAKE
    0x28006: 2,  # BLOCK
    0x2800A: 4,  # SWITCH
    0x2800E: 3,  # SWITCH_INFPREV
    0x2800F: 4,  # SWITCH_INFNEXT
    0x28011: 4,  # SWITCH_INFCONT
}
# What that machine had no cause for, with the words that Xen 4.17 writes (common/sched/core.c,
# credit.c, credit2.c, common/domain.c, common/trace.c).
OF_SOURCES = {
    **{RUNSTATE_CHANGE | a << 8 | b << 4: 1 for a in range(4) for b in range(4) if a != b},
    WRAP: None,  # of any length
    LOST: 4,
    0x28001: 1,  # DOM_ADD
    0x28002: 1,  # DOM_REM
    0x28003: 2,  # SLEEP
    0x28005: 2,  # YIELD
    0x28009: 1,  # ADJDOM
    0x41001: 1,  # DOM0_DOM_ADD
    0x41002: 1,  # DOM0_DOM_REM
    0x22004: 3,  # credit: STOLEN_UNIT
    0x2200A: 2,  # RATELIMIT
    0x2200B: 2,  # STEAL_CHECK
    0x22203: 4,  # credit2: CREDIT_BURN
    0x22206: 1,  # TICKLE
    0x22207: 3,  # CREDIT_RESET
    0x2220D: 3,  # TICKLE_NEW
    0x2220F: 2,  # MIGRATE
    0x22214: 3,  # RUNQ_CANDIDATE
    0x22215: 2,  # SCHEDULE
    0x22216: 2,  # RATELIMIT
}
KNOWN = {**OF_SOURCES, **OF_XEN}


class Record(NamedTuple):
    cpu: int
    event: int
    time: int | None
    extra: tuple[int, ...]


def parse(data: bytes) -> Iterator[Record]:
    """The records of a file, window by window: none may go over a window's end."""
    at = 0
    while at < len(data):
        header, cpu, size = struct.unpack_from("<3I", data, at)
        assert header == CPU_CHANGE | 2 << 28
        at += 12
        yield from _window(cpu, data[at : at + size])
        at += size


def _window(cpu: int, data: bytes) -> Iterator[Record]:
    at = 0
    while at < len(data):
        (header,) = struct.unpack_from("<I", data, at)
        count = header >> 28 & 7
        at += 4
        time = None
        if header >> 31:
            (time,) = struct.unpack_from("<Q", data, at)
            at += 8
        yield Record(cpu, header & 0x0FFFFFFF, time, struct.unpack_from(f"<{count}I", data, at))
        at += 4 * count
