"""A run's trace in Xen's format, saved before the buffers are full."""

from __future__ import annotations

from typing import BinaryIO

from pvdrivers.sim import Machine
from pvdrivers.tools.pvsim.workloads import CpuWorkloads

PAGES = 256  # of each CPU: what it records in some INTERVALs
INTERVAL = 10_000_000  # ns


class TracedWorkloads(CpuWorkloads):
    """Such as save what the machine records, whenever they are called. It records from now on."""

    def __init__(self, machine: Machine, file: BinaryIO) -> None:
        super().__init__(machine.scheduler)
        self._xentrace = machine.xentrace
        self._file = file
        self._save_at = 0
        self._xentrace.start(PAGES)

    def fire(self, now: int) -> None:
        super().fire(now)
        if now >= self._save_at:
            self.save()
            self._save_at = now + INTERVAL

    def save(self) -> None:
        self._xentrace.save(self._file)
