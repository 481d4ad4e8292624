"""Threads that pump, and never leave C for pollables written in it."""

import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pvdrivers.poll.group import Mode, PollGroup, check_mode
from pvdrivers.ring.errors import UsageError

log = logging.getLogger("pvdrivers.poll")

MAX_THREADS = 64


class PollThreads:
    """Threads with a poll group each, for any number of devices and of services.

        with PollThreads(2) as threads:
            async with VbdService(client, hypervisor, driver=threads):

    A pollable goes to the thread that has the fewest. A thread sleeps when all it drives is asleep;
    in mode `poll` it never does.
    """

    def __init__(
        self, threads: int = 1, mode: Mode = "hybrid", processors: Sequence[int] = ()
    ) -> None:
        """`mode` says how long a queue without work is polled before it is left to its event
        channel: long, as long as that has paid off lately, or not at all. `processors`: where each
        of the threads runs.

        UsageError: there is no such mode, or not a processor for each thread.
        """
        check_mode(mode)
        if not 1 <= threads <= MAX_THREADS:
            raise UsageError(f"{threads} poll threads are not 1 to {MAX_THREADS}")
        if processors and len(processors) != threads:
            raise UsageError(f"{threads} poll threads on {len(processors)} processors")
        self._mode = mode
        self._processors: Sequence[int | None] = processors or [None] * threads
        self._threads: list[_PollThread] = []
        self._checking = threading.Lock()  # threads must not end during a check

    def __enter__(self) -> Self:
        """OSError: a thread cannot be made, or may not run on its processor."""
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

    def add(self, pollable: Any) -> None:
        if not self._threads:
            raise UsageError("the poll threads are not running")
        min((thread.group for thread in self._threads), key=len).add(pollable)

    def remove(self, pollable: Any) -> None:
        for thread in self._threads:
            if pollable in thread.group:
                thread.group.remove(pollable)

    def check(self) -> None:
        """Returns once every thread was between two pumps or asleep; never if one is stuck.
        From any thread.

        RuntimeError: one has ended.
        """
        with self._checking:
            for thread in self._threads:
                thread.check()

    def __repr__(self) -> str:
        return f"<PollThreads {self._mode}, pollables {[len(t.group) for t in self._threads]}>"


class _PollThread:
    def __init__(self, mode: Mode, processor: int | None) -> None:
        self.group = PollGroup(mode)
        self._thread = threading.Thread(target=self._run, name="poll thread", daemon=True)
        self._thread.start()
        with suppress(OSError):  # a name in `top -H`
            Path(f"/proc/self/task/{self.native_id}/comm").write_text(self._thread.name)
        if processor is not None:
            self._pin(processor)

    def _pin(self, processor: int) -> None:
        try:
            os.sched_setaffinity(self.native_id, {processor})
        except OSError as error:
            self.stop()
            reason = f"no poll thread on processor {processor}: {error.strerror}"
            raise OSError(error.errno, reason) from None

    def _run(self) -> None:
        try:
            self.group.run()
        except OSError as error:
            log.critical("a poll thread has ended: %s", error.strerror)

    @property
    def native_id(self) -> int:
        assert self._thread.native_id
        return self._thread.native_id

    def check(self) -> None:
        if not self._thread.is_alive():
            raise RuntimeError("a poll thread has ended")
        self.group.sync()

    def stop(self) -> None:
        """Its pollables are not driven any more."""
        self.group.stop()
        self._thread.join()
        self.group.close()
