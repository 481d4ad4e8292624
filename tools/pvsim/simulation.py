"""Runs a scenario on a machine in virtual time. The same scenario gives the same result."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from pvdrivers.sim import Machine
from pvdrivers.sim.cpupool import SchedParams
from pvdrivers.sim.scheduler import SchedDomain
from pvdrivers.tools.pvsim.result import GuestResult, Result
from pvdrivers.tools.pvsim.scenario import GuestSection, Scenario
from pvdrivers.tools.pvsim.workloads import Workload, create

GUEST_MEMORY = 1 << 16  # bytes: what computes touches no memory here
Progress = Callable[[float], None]  # told what part of the time is over


class Timers:
    """What happens at a time of its own."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[int], None]]] = []
        self._count = 0  # of two at the same time, the one that was set first comes first

    def set(self, time: int, call: Callable[[int], None]) -> None:
        heapq.heappush(self._heap, (time, self._count, call))
        self._count += 1

    def next(self, otherwise: int) -> int:
        return min(self._heap[0][0], otherwise) if self._heap else otherwise

    def fire(self, now: int) -> None:
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2](now)


class Simulation:
    def __init__(self, scenario: Scenario, machine: Machine) -> None:
        self._scenario = scenario
        self._machine = machine
        self._timers = Timers()
        self._rng = random.Random(scenario.run.seed)
        self._guests: list[tuple[GuestSection, str, int]] = []  # its section, name and domid
        self._workloads: dict[tuple[int, int], Workload] = {}  # by domid and vcpu

    def _add_guest(self, section: GuestSection, name: str) -> None:
        scheduler = self._machine.scheduler
        domid = self._machine.create_domain(memory=GUEST_MEMORY, vcpus=section.vcpus).domid
        scheduler.set_domain(domid, SchedDomain(section.weight, section.cap))
        self._guests.append((section, name, domid))
        for vcpu in range(section.vcpus):
            scheduler.set_affinity(domid, vcpu, section.cpus or None, section.soft_cpus or None)
            demand = partial(scheduler.demand, domid, vcpu)
            rng = random.Random(self._rng.random())  # so that no guest's requests move another's
            workload = create(section.workload, demand, self._timers.set, rng)
            self._workloads[domid, vcpu] = workload

    def run(self, progress: Progress) -> Result:
        scheduler, end = self._machine.scheduler, self._scenario.ns
        settings = self._scenario.scheduler
        scheduler.pool(0).params = SchedParams(
            settings.tslice_ms, settings.ratelimit_us, settings.migration_delay_us
        )
        for section in self._scenario.guest:
            for name in section.names:
                self._add_guest(section, name)
        for workload in self._workloads.values():
            workload.start(0)
        now, step = 0, end / 100
        while now < end:
            before = now
            for done in scheduler.run(self._timers.next(end)):
                self._workloads[done.domid, done.vcpu].done(done.time)
            now = self._machine.now
            self._timers.fire(now)
            if now // step > before // step:
                progress(now / end)
        return self._result()

    def _result(self) -> Result:
        scheduler, ns = self._machine.scheduler, self._scenario.ns
        cpus = self._scenario.machine.cpus
        guests = [self._guest_result(*guest) for guest in self._guests]
        idle = sum(scheduler.idle_time(cpu) for cpu in range(cpus))
        return Result(cpus, ns, idle / ns / cpus, scheduler.stats, guests)

    def _guest_result(self, section: GuestSection, name: str, domid: int) -> GuestResult:
        ns = self._scenario.ns
        states = [self._machine.scheduler.run_state(domid, vcpu) for vcpu in range(section.vcpus)]
        latencies = [
            latency
            for vcpu in range(section.vcpus)
            for latency in self._workloads[domid, vcpu].latencies
        ]
        return GuestResult(
            name,
            section,
            sum(state.running for state in states) / ns,
            sum(state.runnable for state in states) / ns,
            sorted(latencies),
        )


@contextmanager
def simulation(scenario: Scenario) -> Iterator[Simulation]:
    guests = sum(section.count for section in scenario.guest)
    cpus = scenario.machine.cpus
    with Machine(max_domains=1 + guests, virtual_time=True, cpus=cpus) as machine:
        machine.create_domain(privileged=True, memory=GUEST_MEMORY)  # dom0, which does nothing
        yield Simulation(scenario, machine)
