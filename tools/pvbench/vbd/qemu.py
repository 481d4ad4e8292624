"""QEMU's block backend in the place of ours, for comparison: the same frontend, the same file."""

from pathlib import Path

from pvdrivers.testing.qemu import PROGRAM, Qemu
from pvdrivers.tools.pvbench.errors import BenchError, OptionError
from pvdrivers.tools.pvbench.job.job import Sockets
from pvdrivers.tools.pvbench.job.measurement import BackMeasurement
from pvdrivers.tools.pvbench.job.xenstore import Loop

# What only a backend itself could count; the machine's accounts have the rest.
UNCOUNTED = ("responses", "notifications_suppressed", "bytes_copied")


class QemuBack:
    """The backend's half of a benchmark, as `Back`, in a process of QEMU's."""

    def __init__(self, sockets: Sockets, frontend: int) -> None:
        if not PROGRAM.exists():
            raise OptionError(f"there is no {PROGRAM} (Debian package qemu-system-xen)")
        self._loop = Loop()
        self._qemu = Qemu(frontend, Path(sockets[0]), Path(sockets[1]))

    def open(self) -> None:
        """Begins to connect."""
        try:
            self._loop.call(self._qemu.start())
        except RuntimeError as error:
            raise BenchError(str(error)) from None

    def check(self) -> None:
        """Raises BenchError when QEMU has ended."""
        if not self._qemu.running:
            raise BenchError("QEMU has ended")

    def finish(self) -> BackMeasurement:
        return self.measurement()

    def measurement(self) -> BackMeasurement:
        return BackMeasurement(dict.fromkeys(UNCOUNTED, 0), {})

    def close(self) -> None:
        self._loop.call(self._qemu.stop())
        self._loop.close()
