"""Python face of Xen's trace buffers (xentrace.h)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, BinaryIO

from pvdrivers._core import ffi, lib
from pvdrivers.sim.cpupool import mask_of
from pvdrivers.sim.errors import check

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pvdrivers.sim.machine import Machine

DEFAULT_PAGES = 32  # xentrace's
TRC_ALL = int(lib.TRC_ALL)
TRC_SCHED = int(lib.TRC_SCHED)
_CPU_CHANGE = lib.TRC_TRACE_CPU_CHANGE | 2 << lib.TRACE_EXTRA_SHIFT


class XenTrace:
    """What the CPUs of a machine do, recorded as Xen does it. MachineError: ENODEV, it has none."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def start(self, pages: int = DEFAULT_PAGES, *, events: int = TRC_ALL) -> None:
        """Records from now on, in buffers of so many pages for each CPU, or those that there are.
        `events`: classes and subclasses (trace.h's TRC_*). MachineError: ENOMEM, the machine has
        addresses beyond 16 TiB."""
        cdata = self._machine.cdata
        check(lib.pv_xentrace_set_event_mask(cdata, events), "trace events")
        if self._info.pages == 0:
            check(lib.pv_xentrace_set_size(cdata, pages), f"trace buffers of {pages} pages")
        check(lib.pv_xentrace_enable(cdata, True), "tracing")

    def stop(self) -> None:
        """What is in the buffers stays there."""
        check(lib.pv_xentrace_enable(self._machine.cdata, False), "tracing")

    def set_cpus(self, cpus: Iterable[int]) -> None:
        """Which of them record; at first all."""
        check(lib.pv_xentrace_set_cpu_mask(self._machine.cdata, mask_of(cpus)), "traced CPUs")

    def save(self, file: BinaryIO) -> None:
        """Appends the records since the last time, in the format of xentrace's files, and makes
        room for others."""
        info = self._info
        size = info.buffer_size
        records = ffi.new("uint8_t[]", size)
        for cpu in range(info.cpus if size else 0):
            taken = lib.pv_xentrace_read(self._machine.cdata, cpu, records, size)
            if check(taken, f"trace of CPU {cpu}"):
                file.write(struct.pack("<3I", _CPU_CHANGE, cpu, taken))
                file.write(ffi.buffer(records, taken))

    @property
    def _info(self) -> Any:
        info = ffi.new("struct pv_xentrace_info *")
        check(lib.pv_xentrace_get_info(self._machine.cdata, info), "trace buffers")
        return info
