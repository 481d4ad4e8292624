"""Who pumps a backend's queues: the asyncio loop that its control plane lives in, or threads of
their own, which never leave C."""

import asyncio
import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, get_args

from pvdrivers._core import ffi, lib
from pvdrivers.hypervisor import EventChannels
from pvdrivers.poll.wakeups import Wakeups, Work
from pvdrivers.ring.errors import UsageError

log = logging.getLogger("pvdrivers.backends.vbd")

BUDGET = 256  # requests taken before other devices have their turn
NEVER = 2**64 - 1  # ns
MOST_THREADS = 64

Mode = Literal["poll", "hybrid", "event"]
MODES: dict[str, int] = {
    "poll": lib.PV_BLKBACK_POLL,
    "hybrid": lib.PV_BLKBACK_HYBRID,
    "event": lib.PV_BLKBACK_EVENT,
}


class PollDriver(Protocol):
    """Drives queues (`struct pv_blkback_queue *`), each with an event channel handle of its own."""

    def add(self, queue: Any, channels: EventChannels) -> None:
        """The queue is pumped from now on. OSError: there is no room for it."""

    def remove(self, queue: Any) -> None:
        """When this returns the queue is the caller's again; one that is not pumped is already."""


class LoopDriver:
    """Pumps from the running asyncio loop, a deterministic one for instance."""

    def __init__(self) -> None:
        self._queues: dict[Any, _LoopQueue] = {}

    def add(self, queue: Any, channels: EventChannels) -> None:
        self._queues[queue] = _LoopQueue(queue, channels)

    def remove(self, queue: Any) -> None:
        if pumped := self._queues.pop(queue, None):
            pumped.close()

    @property
    def spurious_events(self) -> int:
        """Events that brought no work, of the queues there are."""
        return sum(pumped.wakeups.spurious_events for pumped in self._queues.values())


class _LoopQueue:
    def __init__(self, queue: Any, channels: EventChannels) -> None:
        self.wakeups = Wakeups(channels)
        self._queue = queue
        self._port = int(lib.pv_blkback_port(queue))
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.wakeups.add(self._port, self._pump)
        self.wakeups.add_fd(lib.pv_blkback_fd(queue), self._port)

    def close(self) -> None:
        self._set_timer(NEVER)
        self.wakeups.close()

    def _pump(self) -> Work:
        moved = lib.pv_blkback_pump(self._queue, BUDGET, int(self._loop.time() * 1e9))
        if moved < 0:
            return Work(done=False, more=False)
        if moved > 0 or lib.pv_blkback_arm(self._queue):
            return Work(done=moved > 0, more=True)
        self._set_timer(lib.pv_blkback_deadline(self._queue))
        return Work(done=False, more=False)

    def _set_timer(self, deadline: int) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if deadline != NEVER:
            kick = partial(self.wakeups.kick, self._port)
            self._timer = self._loop.call_at(deadline / 1e9, kick)


class PollThreads:
    """Threads with a poll group each, for any number of devices and of services.

        with PollThreads(2) as pumps:
            async with VbdService(client, hypervisor, driver=pumps):

    A queue goes to the thread that has the fewest. Whatever the mode, a thread whose queues are all
    asleep sleeps as well, but for `poll`.
    """

    def __init__(
        self, threads: int = 1, mode: Mode = "hybrid", processors: Sequence[int] = ()
    ) -> None:
        """`mode` says how long a queue without work is looked at before it is left to its event
        channel: long, as long as that has paid off lately, or not at all. `processors`: where each
        of the threads runs.

        UsageError: there is no such mode, or not a processor for each thread.
        """
        if mode not in get_args(Mode):
            raise UsageError(f"{mode!r} is not a mode of pumping: {', '.join(get_args(Mode))}")
        if not 1 <= threads <= MOST_THREADS:
            raise UsageError(f"{threads} pump threads are not 1 to {MOST_THREADS}")
        if processors and len(processors) != threads:
            raise UsageError(f"{threads} pump threads on {len(processors)} processors")
        self._mode = mode
        self._processors: Sequence[int | None] = processors or [None] * threads
        self._threads: list[_PollThread] = []
        self._checking = threading.Lock()  # they must not end meanwhile

    def __enter__(self) -> Self:
        """OSError: no thread could be had, or its processor is none of ours."""
        try:
            for processor in self._processors:
                self._threads.append(_PollThread(self._mode, processor))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        with self._checking:
            for thread in self._threads:
                thread.stop()
            self._threads.clear()

    @property
    def thread_ids(self) -> list[int]:
        """As the operating system has them."""
        return [thread.native_id for thread in self._threads]

    def add(self, queue: Any, channels: EventChannels) -> None:
        if not self._threads:
            raise UsageError("the pump threads are not running")
        min(self._threads, key=lambda thread: len(thread.queues)).add(queue)

    def remove(self, queue: Any) -> None:
        for thread in self._threads:
            if queue in thread.queues:
                thread.remove(queue)

    def check(self) -> None:
        """Returns when every thread has come by; it does not if one is stuck. From any thread.
        RuntimeError: one has ended."""
        with self._checking:
            for thread in self._threads:
                thread.check()

    def __repr__(self) -> str:
        queues = [len(thread.queues) for thread in self._threads]
        return f"<PollThreads {self._mode}, queues {queues}>"


def make_group(mode: int) -> Any:
    """A `struct pv_blkback_group *`. OSError: there is no room for it."""
    group = lib.pv_blkback_group_create(mode)
    if group == ffi.NULL:
        raise OSError(ffi.errno, f"no poll group: {os.strerror(ffi.errno)}")
    return group


class _PollThread:
    def __init__(self, mode: str, processor: int | None) -> None:
        self.queues: set[Any] = set()
        self._group = make_group(MODES[mode])
        self._thread = threading.Thread(target=self._run, name="vbd pump", daemon=True)
        self._thread.start()
        with suppress(OSError):  # a name in `top -H`
            Path(f"/proc/self/task/{self.native_id}/comm").write_text(self._thread.name)
        if processor is not None:
            self._settle(processor)

    def _settle(self, processor: int) -> None:
        try:
            os.sched_setaffinity(self.native_id, {processor})
        except OSError as error:
            self.stop()
            reason = f"no pump on processor {processor}: {error.strerror}"
            raise OSError(error.errno, reason) from None

    def _run(self) -> None:
        status = lib.pv_blkback_group_run(self._group)
        if status < 0:
            log.critical("a pump thread has ended: %s", os.strerror(-status))

    @property
    def native_id(self) -> int:
        assert self._thread.native_id
        return self._thread.native_id

    def add(self, queue: Any) -> None:
        status = lib.pv_blkback_group_add(self._group, queue)
        if status < 0:
            raise OSError(-status, f"no pump for a queue: {os.strerror(-status)}")
        self.queues.add(queue)

    def remove(self, queue: Any) -> None:
        self.queues.discard(queue)
        lib.pv_blkback_group_remove(self._group, queue)

    def check(self) -> None:
        if not self._thread.is_alive():
            raise RuntimeError("a pump thread has ended")
        lib.pv_blkback_group_visit(self._group)

    def stop(self) -> None:
        """Its queues are nobody's then."""
        lib.pv_blkback_group_stop(self._group)
        self._thread.join()
        lib.pv_blkback_group_destroy(self._group)
