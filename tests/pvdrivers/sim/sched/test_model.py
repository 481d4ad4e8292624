"""Random guests on a machine: what holds of every schedule, whatever is asked."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pvdrivers.sim import Machine, MachineError
from pvdrivers.sim.cpupool import SchedulerKind
from pvdrivers.sim.scheduler import RunState, SchedDomain, VcpuRunState

MS = 1_000_000
DOMAINS = 4
VCPUS = 2
VCPU = st.tuples(st.integers(0, DOMAINS - 1), st.integers(0, VCPUS - 1))


class Schedules(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.machine: Machine | None = None
        self.wanted = dict[tuple[int, int], int]()
        self.affinity = dict[tuple[int, int], set[int]]()
        self.soft_affinity = dict[tuple[int, int], set[int]]()
        self.paused = set[int]()
        self.pool_of_cpu = dict[int, int | None]()
        self.pool_of_domain = dict[int, int]()

    @initialize(
        cpus=st.integers(1, 3),
        scheduler=st.sampled_from(SchedulerKind),
        other=st.sampled_from(SchedulerKind),
    )
    def start(self, cpus: int, scheduler: SchedulerKind, other: SchedulerKind) -> None:
        self.cpus = cpus
        self.machine = Machine(
            max_domains=DOMAINS, virtual_time=True, cpus=cpus, scheduler=scheduler
        )
        self.pool_of_cpu = dict.fromkeys(range(cpus), 0)
        self.machine.scheduler.create_pool(other, pool=1)
        for domid in range(DOMAINS):
            self.machine.create_domain(memory="64K", vcpus=VCPUS)
            self.pool_of_domain[domid] = 0
            for vcpu in range(VCPUS):
                self.wanted[domid, vcpu] = 0
                self.affinity[domid, vcpu] = set(range(cpus))
                self.soft_affinity[domid, vcpu] = set(range(cpus))

    def teardown(self) -> None:
        if self.machine:
            self.machine.close()

    # ---- What may be asked -------------------------------------------------------------------

    @rule(vcpu=VCPU, ns=st.integers(1, 80 * MS))
    def demand(self, vcpu: tuple[int, int], ns: int) -> None:
        self.machine.scheduler.demand(*vcpu, ns)
        self.wanted[vcpu] += ns

    @rule(vcpu=VCPU, cpus=st.sets(st.integers(0, 2), min_size=1))
    def pin(self, vcpu: tuple[int, int], cpus: set[int]) -> None:
        there = {cpu for cpu in cpus if cpu < self.cpus}
        if there & self._cpus(self.pool_of_domain[vcpu[0]]):
            self.machine.scheduler.set_affinity(*vcpu, there)
            self.affinity[vcpu] = there

    @rule(vcpu=VCPU, cpus=st.sets(st.integers(0, 2)))
    def prefer(self, vcpu: tuple[int, int], cpus: set[int]) -> None:
        there = {cpu for cpu in cpus if cpu < self.cpus}
        self.machine.scheduler.set_affinity(*vcpu, soft=there)
        self.soft_affinity[vcpu] = there

    @rule(domid=st.integers(0, DOMAINS - 1))
    def pause_or_unpause(self, domid: int) -> None:
        domain = self.machine.domain(domid)
        (domain.unpause if domid in self.paused else domain.pause)()
        self.paused ^= {domid}

    @rule(
        domid=st.integers(0, DOMAINS - 1), weight=st.integers(1, 1000), cap=st.sampled_from((0, 20))
    )
    def set_domain(self, domid: int, weight: int, cap: int) -> None:
        self.machine.scheduler.set_domain(domid, SchedDomain(weight, cap))

    def _cpus(self, pool: int | None) -> set[int]:
        return {cpu for cpu, own in self.pool_of_cpu.items() if own == pool}

    @rule(cpu=st.integers(0, 2), pool=st.sampled_from((None, 0, 1)))
    def move_cpu(self, cpu: int, pool: int | None) -> None:
        """Out of its pool, if that can do without it, or from nowhere into one."""
        if cpu >= self.cpus:
            return
        own = self.pool_of_cpu[cpu]
        if own is None and pool is not None:
            self.machine.scheduler.pool(pool).add_cpu(cpu)
            self.pool_of_cpu[cpu] = pool
        elif own is not None and pool is None and (own, cpu) != (0, 0):
            if self._cpus(own) == {cpu} and own in self.pool_of_domain.values():
                with pytest.raises(MachineError):
                    self.machine.scheduler.pool(own).remove_cpu(cpu)
                return
            self.machine.scheduler.pool(own).remove_cpu(cpu)
            self.pool_of_cpu[cpu] = None
            for (domid, _), allowed in self.affinity.items():
                if self.pool_of_domain[domid] == own and not allowed & self._cpus(own):
                    allowed |= set(range(self.cpus))

    @rule(domid=st.integers(0, DOMAINS - 1), pool=st.integers(0, 1))
    def move_domain(self, domid: int, pool: int) -> None:
        if self._cpus(pool) and self.pool_of_domain[domid] != pool:
            self.machine.scheduler.pool(pool).move_domain(domid)
            self.pool_of_domain[domid] = pool
            for vcpu in range(VCPUS):
                self.affinity[domid, vcpu] = set(range(self.cpus))
                self.soft_affinity[domid, vcpu] = set(range(self.cpus))

    @rule(ns=st.integers(0, 200 * MS))
    def run(self, ns: int) -> None:
        end = self.machine.now + ns
        done = self.machine.scheduler.run(end)
        assert self.machine.now == end if not done else self.machine.now <= end
        assert len({(each.domid, each.vcpu) for each in done}) == len(done)
        for each in done:
            assert each.time == self.machine.now
            state = self.machine.scheduler.run_state(each.domid, each.vcpu)
            assert state.running == self.wanted[each.domid, each.vcpu]

    # ---- What holds --------------------------------------------------------------------------

    def _states(self) -> dict[tuple[int, int], VcpuRunState]:
        scheduler = self.machine.scheduler
        return {vcpu: scheduler.run_state(*vcpu) for vcpu in self.wanted}

    @precondition(lambda self: self.machine)
    @invariant()
    def all_time_is_accounted_for(self) -> None:
        scheduler, now = self.machine.scheduler, self.machine.now
        states = self._states().values()
        idle = sum(scheduler.idle_time(cpu) for cpu in range(self.cpus))
        assert sum(state.running for state in states) + idle == self.cpus * now
        for state in states:
            assert state.running + state.runnable + state.blocked + state.offline == now

    @precondition(lambda self: self.machine)
    @invariant()
    def each_vcpu_is_where_it_may_be(self) -> None:
        busy = list[int]()
        for vcpu, state in self._states().items():
            if state.state in (RunState.RUNNING, RunState.RUNNABLE):
                assert vcpu[0] not in self.paused
                pool = self._cpus(self.pool_of_domain[vcpu[0]])
                assert state.cpu in self.affinity[vcpu] & pool
            if state.state == RunState.RUNNING:
                busy.append(state.cpu)
        assert len(set(busy)) == len(busy)

    @precondition(lambda self: self.machine)
    @invariant()
    def no_cpu_idles_while_one_waits_for_it(self) -> None:
        states = self._states()
        busy = {state.cpu for state in states.values() if state.state == RunState.RUNNING}
        for vcpu, state in states.items():
            if state.state == RunState.RUNNABLE:
                assert self.affinity[vcpu] & self._cpus(self.pool_of_domain[vcpu[0]]) <= busy

    @precondition(lambda self: self.machine)
    @invariant()
    def pools_are_what_was_asked_for(self) -> None:
        scheduler = self.machine.scheduler
        for info in scheduler.pools:
            assert set(info.cpus) == self._cpus(info.pool)
            assert info.domains == list(self.pool_of_domain.values()).count(info.pool)
        assert set(scheduler.free_cpus) == self._cpus(None)
        for vcpu, allowed in self.affinity.items():
            affinity = scheduler.affinity(*vcpu)
            assert set(affinity.hard) == allowed
            assert set(affinity.soft) == self.soft_affinity[vcpu]

    @precondition(lambda self: self.machine)
    @invariant()
    def only_who_wants_nothing_is_blocked(self) -> None:
        for vcpu, state in self._states().items():
            if state.state == RunState.BLOCKED:
                assert state.running == self.wanted[vcpu]


Schedules.TestCase.settings = settings(stateful_step_count=30)
TestSchedules = Schedules.TestCase
