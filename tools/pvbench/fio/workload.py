"""The workload of a benchmark: I/O on the queues of connected disks, wholly in C."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from pvdrivers._core import ffi, lib
from pvdrivers.hypervisor import EventChannels, Hypervisor
from pvdrivers.poll.group import MODES, Mode
from pvdrivers.tools.pvbench.errors import BenchError


class LoadedDevice(Protocol):
    """A frontend whose queues a workload drives."""

    hypervisor: Hypervisor

    @property
    def channels(self) -> EventChannels: ...

    def load_queues(self) -> Iterable[Any]:
        """Each as a `struct pv_load_queue`, which is good as long as they are connected."""


class Workload:
    """`struct pv_blk_workload` on all queues of the disks; it runs on the thread of its caller.

    A step that fails raises BenchError. The first disk's event channels are those that wake its
    thread: with others beside it the mode must be "poll".
    """

    def __init__(self, disks: Sequence[LoadedDevice], mode: Mode, **settings: Any) -> None:
        """`settings`: further members of `struct pv_blk_workload_config`."""
        self._queues = [queue for disk in disks for queue in disk.load_queues()]
        queues = ffi.new("struct pv_load_queue[]", self._queues)
        config = {
            "hypervisor": disks[0].hypervisor.cdata,
            "evtchn": disks[0].channels.cdata,
            "queues": queues,
            "nr_queues": len(self._queues),
            "mode": MODES[mode],
            **settings,
        }
        self._workload = lib.pv_blk_workload_create(
            ffi.new("struct pv_blk_workload_config *", config)
        )
        if self._workload == ffi.NULL:
            raise BenchError(f"the workload cannot be set up: {os.strerror(ffi.errno)}")
        self._jobs: int = config["jobs"]
        self._copies: tuple[Any, Any] | None = None

    def expect(self, path: str) -> None:
        """Reads will be compared with this file. OSError when it cannot be opened."""
        with open(path, "rb") as image:
            status = lib.pv_blk_workload_expect(self._workload, image.fileno())
        self._check(status, f"reading {path}")

    def layout(self) -> None:
        """Writes every block. Memory never written to is one page of zeros, which would flatter
        the reads."""
        self._check(lib.pv_blk_workload_layout(self._workload), "laying out")

    def run(self) -> None:
        """Ramp and measured run."""
        self._check(lib.pv_blk_workload_run(self._workload), "the run")

    def verify(self) -> None:
        """Reads back what the run has written."""
        self._check(lib.pv_blk_workload_verify(self._workload), "reading back")

    def _check(self, status: int, what: str) -> None:
        if status < 0:
            raise BenchError(f"{what} failed: {os.strerror(-status)}{self._broken_ring()}")

    def _broken_ring(self) -> str:
        line = ffi.new("char[]", 512)
        for queue in self._queues:
            if queue.ops.is_broken(queue.front):
                queue.ops.describe(queue.front, line, len(line))
                return f" ({ffi.string(line).decode()})"
        return ""

    def stop(self) -> None:
        """Ends the run early; what is outstanding is still answered."""
        lib.pv_blk_workload_stop(self._workload)

    def progress(self, job: int = 0) -> Any:
        """`struct pv_blk_progress` of a job as it is now."""
        progress = ffi.new("struct pv_blk_progress *")
        lib.pv_blk_workload_get_progress(self._workload, job, progress)
        return progress

    def result(self) -> Any:
        """`struct pv_blk_workload_result`, of the workload's own memory, when no run goes on."""
        return lib.pv_blk_workload_get_result(self._workload)

    def job_result(self, job: int = 0) -> Any:
        """`struct pv_blk_job_result`, of the workload's own memory, when no run goes on."""
        return lib.pv_blk_workload_get_job_result(self._workload, job)

    def copy(self, running: Callable[[], bool]) -> tuple[Any, Any]:
        """Both, of all jobs, as they are while the workload is `running`; else as it left them."""
        if self._copies is None:
            # Kept as long as the workload: it may answer after the caller has stopped waiting.
            self._copies = (
                ffi.new("struct pv_blk_workload_result *"),
                ffi.new("struct pv_blk_job_result[]", self._jobs),
            )
        while running():
            if lib.pv_blk_workload_copied(self._workload):
                lib.pv_blk_workload_copy(self._workload, *self._copies)
            time.sleep(0.001)
            if lib.pv_blk_workload_copied(self._workload):
                return self._copies
        return self.result(), [self.job_result(job) for job in range(self._jobs)]

    def log(self, job: int = 0) -> Any:
        """Its entries, an array of `struct pv_blk_log_entry`, when no run goes on."""
        count = ffi.new("uint64_t *")
        log = lib.pv_blk_workload_get_log(self._workload, job, count)
        return log[0 : count[0]] if count[0] else ()

    def close(self) -> None:
        lib.pv_blk_workload_destroy(self._workload)
