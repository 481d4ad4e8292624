"""What vcpus without a device do: when each wants the CPU, and for how long."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from pvdrivers.sim.scheduler import FOR_EVER, Done, Scheduler
from pvdrivers.tools.pvsim import kinds
from pvdrivers.tools.pvsim.kinds import parse_time

At = Callable[[int, Callable[[int], None]], None]  # at this time (ns), calls with the time
Demand = Callable[[int], None]  # ns of CPU time


class Workload(Protocol):
    latencies: list[int]  # ns of each request answered, in the order of the answers

    def start(self, now: int) -> None: ...

    def done(self, now: int) -> None:
        """The vcpu has had what it wanted."""
        ...


def gap(interval: int, poisson: bool, rng: random.Random) -> int:
    """ns from one request to the next."""
    return max(1, round(rng.expovariate(1 / interval))) if poisson else interval


class Compute:
    def __init__(self, demand: Demand) -> None:
        self.latencies: list[int] = []
        self._demand = demand

    def start(self, now: int) -> None:
        self._demand(FOR_EVER)

    def done(self, now: int) -> None:
        """It never has."""


class Open:
    """Requests wait in line, and are answered one after the other."""

    def __init__(self, spec: kinds.Open, demand: Demand, at: At, rng: random.Random) -> None:
        self.latencies: list[int] = []
        self._work = parse_time(spec.work, "work")
        self._interval = parse_time(spec.interval, "interval")
        self._poisson = spec.arrival == "poisson"
        self._demand, self._at, self._rng = demand, at, rng
        self._waiting: deque[int] = deque()  # when each came

    def start(self, now: int) -> None:
        self._at(now + self._pause(), self._arrive)

    def _pause(self) -> int:
        return gap(self._interval, self._poisson, self._rng)

    def _arrive(self, now: int) -> None:
        self._waiting.append(now)
        if len(self._waiting) == 1:
            self._demand(self._work)
        self._at(now + self._pause(), self._arrive)

    def done(self, now: int) -> None:
        self.latencies.append(now - self._waiting.popleft())
        if self._waiting:
            self._demand(self._work)


class Closed:
    """One request at a time."""

    def __init__(self, spec: kinds.Closed, demand: Demand, at: At) -> None:
        self.latencies: list[int] = []
        self._work = parse_time(spec.work, "work")
        self._think = parse_time(spec.think, "think")
        self._demand, self._at = demand, at
        self._asked = 0

    def start(self, now: int) -> None:
        self._at(now + self._think, self._ask)

    def _ask(self, now: int) -> None:
        self._asked = now
        self._demand(self._work)

    def done(self, now: int) -> None:
        self.latencies.append(now - self._asked)
        self._at(now + self._think, self._ask)


def create(spec: kinds.Workload, demand: Demand, at: At, rng: random.Random) -> Workload:
    match spec:
        case kinds.Open():
            return Open(spec, demand, at, rng)
        case kinds.Closed():
            return Closed(spec, demand, at)
        case _:
            return Compute(demand)


class CpuWorkloads:
    """Those of all such vcpus, as a `VcpuLoop` calls them."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._workloads: dict[tuple[int, int], Workload] = {}  # by domid and vcpu
        self._timers: list[tuple[int, int, Callable[[int], None]]] = []
        self._set = 0  # of two timers at the same time, the one that was set first comes first

    def add(self, domid: int, vcpu: int, spec: kinds.Workload, rng: random.Random) -> Workload:
        demand = partial(self._scheduler.demand, domid, vcpu)
        workload = create(spec, demand, self._at, rng)
        self._workloads[domid, vcpu] = workload
        return workload

    def start(self, now: int) -> None:
        for workload in self._workloads.values():
            workload.start(now)

    def _at(self, time: int, call: Callable[[int], None]) -> None:
        heapq.heappush(self._timers, (time, self._set, call))
        self._set += 1

    def next_event(self, otherwise: int) -> int:
        return min(self._timers[0][0], otherwise) if self._timers else otherwise

    def fire(self, now: int) -> None:
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2](now)

    def done(self, done: Done) -> None:
        self._workloads[done.domid, done.vcpu].done(done.time)
