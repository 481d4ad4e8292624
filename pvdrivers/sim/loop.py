"""An event loop that a seed owns: virtual time, no threads, one scheduler.

Everything asyncio runs on it unchanged. The seed decides what is left open in reality: which of
several waiting events arrives first, how long each takes, and which is still under way while
another is handled. The same seed gives the same run. Time moves only when nothing can run, or by
the latency of a delivery; a wait for something that can never happen is reported instead of
hanging.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import select
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

NS = 1_000_000_000
MAX_LATENCY = 50_000  # ns between an event's sending and its arrival, at most
Ready = list[tuple[selectors.SelectorKey, int]]


class NothingCanRun(RuntimeError):
    """Every task waits and no event is under way: a wake-up was lost, or no answer will come.

    The message has a line for each task: the calls it is in, the innermost of them last.
    """


def describe_waiting(task: asyncio.Task[Any]) -> str:
    """The task's name, and the calls it is in: `name: outer (file.py:12) > inner (file.py:34)`."""
    calls = []
    awaited: Any = task.get_coro()
    while (frame := _attribute(awaited, "frame")) is not None:
        file = os.path.basename(frame.f_code.co_filename)
        calls.append(f"{frame.f_code.co_qualname} ({file}:{frame.f_lineno})")
        awaited = _attribute(awaited, "await") or getattr(awaited, "gi_yieldfrom", None)
    return f"{task.get_name()}: {' > '.join(calls)}"


def _attribute(awaited: object, name: str) -> Any:
    """Of a coroutine, a generator or an asynchronous generator."""
    for prefix in ("cr", "gi", "ag"):
        if (value := getattr(awaited, f"{prefix}_{name}", None)) is not None:
            return value
    return None


class Clock(Protocol):
    """Time in ns that moves only when it is told to: a machine's virtual time, or VirtualClock."""

    @property
    def now(self) -> int: ...

    @property
    def next_event(self) -> int | None:
        """When something happens by itself; None: nothing will."""

    def advance(self, ns: int) -> None: ...


class VirtualClock:
    """Virtual time without a machine."""

    def __init__(self) -> None:
        self._now = 0

    @property
    def now(self) -> int:
        return self._now

    @property
    def next_event(self) -> None:
        return None

    def advance(self, ns: int) -> None:
        self._now += ns


class SeededSelector(selectors.BaseSelector):
    """Reports ready files in an order, and after a delay, that the random generator chooses."""

    def __init__(self, rng: random.Random, clock: Clock) -> None:
        self._rng = rng
        self._clock = clock
        self._keys: dict[int, selectors.SelectorKey] = {}
        # When each was registered, since file numbers differ between two runs of one seed.
        self._order: dict[int, int] = {}
        self._registrations = 0
        self._poll = select.epoll()
        self.ignored: set[int] = set()
        self.on_delivery: Callable[[selectors.SelectorKey], None] = lambda key: None
        self.loop: asyncio.AbstractEventLoop | None = None  # whose tasks wait when nothing comes

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if fd in self._keys:
            raise KeyError(f"file {fd} is already registered")
        key = selectors.SelectorKey(fileobj, fd, events, data)
        mask = (select.EPOLLIN if events & selectors.EVENT_READ else 0) | (
            select.EPOLLOUT if events & selectors.EVENT_WRITE else 0
        )
        self._poll.register(fd, mask)
        self._keys[fd] = key
        self._order[fd] = self._registrations
        self._registrations += 1
        return key

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = self._keys.pop(fd)
        with suppress(OSError):  # it has been closed
            self._poll.unregister(fd)
        return key

    def close(self) -> None:
        self._poll.close()

    def select(self, timeout: float | None = None) -> Ready:
        ready = self._ready()
        if ready:
            self._clock.advance(self._rng.randrange(MAX_LATENCY))
            return self.deliver_some(ready)
        # Upwards: a rest too small for a nanosecond would never pass.
        rests = [] if timeout is None else [max(0, math.ceil(timeout * NS))]
        if (event := self._clock.next_event) is not None:
            rests.append(max(0, event - self._clock.now))
        if not rests:
            self.report_nothing_can_run()
        self._clock.advance(min(rests))
        return []

    def deliver_some(self, ready: Ready) -> Ready:
        """Those that arrive first."""
        self._rng.shuffle(ready)
        return self.deliver(ready[: self._rng.randint(1, len(ready))])

    def deliver(self, arrived: Ready) -> Ready:
        for key, _ in arrived:
            self.on_delivery(key)
        return arrived

    def report_nothing_can_run(self) -> NoReturn:
        raise NothingCanRun(
            "every task waits and no event is under way; events of other threads or processes"
            " (a file store's threads, say) do not count in a deterministic run\n"
            + "\n".join(sorted(map(describe_waiting, asyncio.all_tasks(self.loop))))
        )

    def _ready(self) -> Ready:
        """In the order of registration."""
        ready = []
        for fd, found in sorted(self._poll.poll(0), key=lambda each: self._order[each[0]]):
            if fd in self.ignored:
                continue
            key, events = self._keys[fd], 0
            if found & ~select.EPOLLOUT:
                events |= selectors.EVENT_READ
            if found & ~select.EPOLLIN:
                events |= selectors.EVENT_WRITE
            if events & key.events:
                ready.append((key, events & key.events))
        return ready

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return {key.fileobj: key for key in self._keys.values()}

    def get_key(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        return self._keys[fd]


class DeterministicLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose every free choice comes from `seed`.

    `clock` is a machine created with virtual_time, so that machine and loop have one time.
    `rng` is the one source of chance of the run: fault plans and workloads draw from it too.
    """

    def __init__(self, seed: int, clock: Clock | None = None) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.clock: Clock = clock or VirtualClock()
        self.selector = self.make_selector()
        super().__init__(self.selector)
        self.selector.loop = self
        # asyncio counts seconds in floats, which keep microseconds for centuries; a finer
        # resolution would let a timer and the clock miss each other forever.
        self._clock_resolution = 1e-6
        # asyncio's own pipe for wake-ups from other threads: there are none.
        self.selector.ignored = set(self.selector._keys)

    def make_selector(self) -> SeededSelector:
        return SeededSelector(self.rng, self.clock)

    def time(self) -> float:
        return self.clock.now / NS

    # The two calls by which threads come in.
    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("a deterministic run has no threads")

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Carries the call out at once, on this thread: there is no other."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def __repr__(self) -> str:
        return f"<DeterministicLoop seed {self.seed} at {self.clock.now} ns>"
