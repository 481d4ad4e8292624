"""Calls that may never return, such as opening a file on a server that is down.

asyncio's own executor has few threads, and the interpreter joins them before it exits: a few calls
that hang would hold up all others, and then the end of the process. Here each call has a daemon
thread of its own, so that it costs one thread until it returns, and nothing else.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class _DaemonThreads(Executor):
    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        call = partial(fn, *args, **kwargs)
        try:
            threading.Thread(target=_carry_out, args=(call, future), daemon=True).start()
        except RuntimeError as error:  # Python's word for EAGAIN
            raise OSError(errno.EAGAIN, f"no thread: {error}") from error
        return future


def _carry_out(call: Callable[[], T], future: Future[T]) -> None:
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


_THREADS = _DaemonThreads()


async def in_daemon_thread(call: Callable[[], T]) -> T:
    """The result of `call()`, or what it raises. Cancelled, it leaves the call to its thread.

    OSError with EAGAIN: the system makes no thread.
    """
    return await asyncio.get_running_loop().run_in_executor(_THREADS, call)


async def open_in_daemon_thread(open_: Callable[[], C]) -> C:
    """The same for what has to be closed. Cancelled, it has that done as soon as it is open."""
    opening = _Opening(open_)
    try:
        return await in_daemon_thread(opening.open)
    except asyncio.CancelledError:
        opening.abandon()
        raise


class _Opening(Generic[C]):
    """What no caller takes is closed: by the thread, or by the caller that gave up."""

    def __init__(self, open_: Callable[[], C]) -> None:
        self._open = open_
        self._lock = threading.Lock()
        self._opened: C | None = None
        self._abandoned = False

    def open(self) -> C:
        opened = self._open()
        with self._lock:
            self._opened = opened
            abandoned = self._abandoned
        if abandoned:
            opened.close()
        return opened

    def abandon(self) -> None:
        with self._lock:
            self._abandoned = True
            opened = self._opened
        if opened is not None:
            with suppress(OSError):  # without a thread it stays open: closing may block the loop
                _THREADS.submit(opened.close)
