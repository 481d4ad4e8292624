"""Runs a scenario on a machine in virtual time. The same scenario gives the same result."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, BinaryIO

from pvdrivers.sim import Domain, Machine
from pvdrivers.sim.cpupool import Credit2Runqueue, SchedulerKind
from pvdrivers.sim.memory_map import MIB, MemoryExtent
from pvdrivers.sim.scheduler import SchedDomain
from pvdrivers.sim.vcpu_loop import VcpuLoop
from pvdrivers.tools.pvsim.host import Host
from pvdrivers.tools.pvsim.kinds import Client
from pvdrivers.tools.pvsim.programs import Program, create
from pvdrivers.tools.pvsim.result import GuestResult, Result, Shares
from pvdrivers.tools.pvsim.scenario import DomainSection, GuestSection, Scenario
from pvdrivers.tools.pvsim.tracing import TracedWorkloads
from pvdrivers.tools.pvsim.workloads import CpuWorkloads, Workload
from pvdrivers.vnif.mac import default_mac

NO_MEMORY = 1 << 16  # bytes: what computes touches none here
GUEST_MEMORY = 32 << 20  # for rings and buffers
DOM0_MEMORY = 64 << 20
NS = 1_000_000_000
TIMER_RESOLUTION = 1e-6  # seconds: an asyncio timer may be so early
STEPS = 100  # of progress
Progress = Callable[[float], None]  # told what part of the time is over


@dataclass(slots=True)
class Guest:
    section: GuestSection
    name: str
    domain: Domain
    rng: random.Random
    workloads: list[Workload] = field(default_factory=list)  # of each vcpu, without a device
    programs: list[Program] = field(default_factory=list)  # with one

    @property
    def all_workloads(self) -> Iterator[Workload | Program]:
        return chain(self.workloads, self.programs)


@dataclass(frozen=True, slots=True)
class Times:
    """ns since the machine was made."""

    now: int
    idle: int  # of all CPUs
    running: dict[int, int]  # by domid, of all vcpus
    runnable: dict[int, int]


class Simulation:
    def __init__(self, scenario: Scenario, machine: Machine, cpu_workloads: CpuWorkloads) -> None:
        self.scenario = scenario
        self.machine = machine
        self.cpu_workloads = cpu_workloads
        machine.scheduler.pool(0).params = scenario.scheduler.params
        self.dom0 = self._create_domain(scenario.dom0, DOM0_MEMORY, privileged=True)
        self.guests: list[Guest] = []
        rng = random.Random(scenario.run.seed)
        for section in scenario.guest:
            memory = GUEST_MEMORY if section.has_device else NO_MEMORY
            for name in section.names:
                domain = self._create_domain(section, memory)
                # So that no guest's requests move another's.
                self.guests.append(Guest(section, name, domain, random.Random(rng.random())))

    def run(self, progress: Progress) -> Result:
        with asyncio.Runner(loop_factory=self._make_loop) as runner:
            return runner.run(self._run(progress))

    def _make_loop(self) -> VcpuLoop:
        seed, cost = self.scenario.run.seed, self.scenario.cost
        return VcpuLoop(seed, self.machine, cost, self.cpu_workloads)

    def _create_domain(
        self, section: DomainSection, memory: int, *, privileged: bool = False
    ) -> Domain:
        domain = self.machine.create_domain(
            memory=memory, vcpus=section.vcpus, privileged=privileged
        )
        scheduler = self.machine.scheduler
        scheduler.set_domain(domain.domid, SchedDomain(section.weight, section.cap))
        for vcpu in range(section.vcpus):
            hard, soft = section.cpus or None, section.soft_cpus or None
            scheduler.set_affinity(domain.domid, vcpu, hard, soft)
        return domain

    async def _run(self, progress: Progress) -> Result:
        with_device = [guest for guest in self.guests if guest.section.has_device]
        if not with_device:
            return await self._measure(progress)
        async with Host(self.dom0) as host:
            for guest in with_device:
                frontend = await host.add_guest(guest.domain, guest.section.workload)
                guest.programs.append(self._program(guest, frontend))
            return await self._measure(progress)

    def _program(self, guest: Guest, frontend: Any) -> Program:
        spec = guest.section.workload
        server = self._server_of(guest, spec) if isinstance(spec, Client) else ""
        return create(spec, frontend, server, guest.rng, lambda: self.machine.now)

    def _server_of(self, guest: Guest, spec: Client) -> str:
        """The MAC address of the one of them whose turn it is."""
        servers = [each for each in self.guests if each.section.name == spec.server]
        number = guest.section.names.index(guest.name)
        return default_mac(servers[number % len(servers)].domain.domid, 0)

    async def _measure(self, progress: Progress) -> Result:
        self._start_cpu_workloads()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VcpuLoop)
        start = self._times()
        tasks = [
            loop.create_task(program.run(), context=loop.domain_context(guest.domain))
            for guest in self.guests
            for program in guest.programs
        ]
        for step in range(1, STEPS + 1):
            until = start.now + self.scenario.ns * step // STEPS
            await asyncio.sleep((until - self.machine.now) / NS + TIMER_RESOLUTION)
            progress(step / STEPS)
        result = self._result(start, self._times())
        for task in tasks:
            if task.done():
                task.result()  # raises what ended it: programs go on for ever
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return result

    def _start_cpu_workloads(self) -> None:
        for guest in self.guests:
            if not guest.section.has_device:
                for vcpu in range(guest.section.vcpus):
                    rng = random.Random(guest.rng.random())
                    spec, domid = guest.section.workload, guest.domain.domid
                    guest.workloads.append(self.cpu_workloads.add(domid, vcpu, spec, rng))
        self.cpu_workloads.start(self.machine.now)

    # ---- What came out of it -----------------------------------------------------------------

    def _times(self) -> Times:
        scheduler, cpus = self.machine.scheduler, self.scenario.machine.cpus
        domains = [self.dom0, *(guest.domain for guest in self.guests)]
        states = {
            domain.domid: [scheduler.run_state(domain.domid, v) for v in range(domain.info.vcpus)]
            for domain in domains
        }
        return Times(
            self.machine.now,
            sum(scheduler.idle_time(cpu) for cpu in range(cpus)),
            {domid: sum(state.running for state in each) for domid, each in states.items()},
            {domid: sum(state.runnable for state in each) for domid, each in states.items()},
        )

    def _result(self, start: Times, end: Times) -> Result:
        cpus, ns = self.scenario.machine.cpus, end.now - start.now

        def shares(domain: Domain) -> Shares:
            domid = domain.domid
            return Shares(
                (end.running[domid] - start.running[domid]) / ns,
                (end.runnable[domid] - start.runnable[domid]) / ns,
            )

        guests = [
            GuestResult(
                guest.name,
                guest.section,
                shares(guest.domain),
                sorted(n for each in guest.all_workloads for n in each.latencies),
                sum(program.bytes for program in guest.programs),
            )
            for guest in self.guests
        ]
        idle = (end.idle - start.idle) / ns / cpus
        stats = self.machine.scheduler.stats
        dom0 = self.scenario.dom0, shares(self.dom0)
        return Result(cpus, self.scenario.ns, idle, stats, *dom0, guests)


@contextmanager
def simulation(scenario: Scenario, trace: BinaryIO | None = None) -> Iterator[Simulation]:
    """`trace`: where Xen's records of what the CPUs do go."""
    guests = sum(section.count for section in scenario.guest)
    section, scheduler = scenario.machine, scenario.scheduler
    memory = -(-(DOM0_MEMORY + (guests + 1) * GUEST_MEMORY) // section.nodes // MIB) * MIB
    with Machine(
        [MemoryExtent(node * memory, memory, node) for node in range(section.nodes)],
        max_domains=1 + guests,
        virtual_time=True,
        cpus=section.cpus,
        threads_per_core=section.threads_per_core,
        cores_per_socket=section.cores_per_socket or 0,
        scheduler=SchedulerKind[scheduler.kind.upper()],
        credit2_runqueue=Credit2Runqueue[(scheduler.credit2_runqueue or "socket").upper()],
        smt_power_savings=scheduler.smt_power_savings,
    ) as machine:
        if trace is None:
            yield Simulation(scenario, machine, CpuWorkloads(machine.scheduler))
            return
        workloads = TracedWorkloads(machine, trace)
        yield Simulation(scenario, machine, workloads)
        workloads.save()
