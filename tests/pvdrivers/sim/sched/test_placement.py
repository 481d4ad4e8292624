"""On which CPU a vcpu runs, as the threads, cores, sockets and nodes lie. What is expected was
worked out by hand from Xen's rules."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.sim import Machine
from pvdrivers.sim.cpupool import Credit2Runqueue, SchedulerKind
from pvdrivers.sim.scheduler import FOR_EVER, RunState
from tests.pvdrivers.sim.sched.schedules import MS, machine_with, run_to

TICK = 10 * MS


def wake(machine: Machine, domids: Iterable[int]) -> None:
    """They compute for ever. As each is made on the CPU of its number, it starts there if the CPU
    idles."""
    for domid in domids:
        machine.scheduler.demand(domid, 0, FOR_EVER)


def places(machine: Machine, domids: Iterable[int]) -> list[int]:
    return [machine.scheduler.run_state(domid, 0).cpu for domid in domids]


# ---- credit: who wakes takes an idle CPU, and moves at its second tick ------------------------


def test_two_on_one_core_part_when_another_core_idles() -> None:
    with machine_with(4, 2, threads_per_core=2) as machine:
        wake(machine, (0, 1))
        machine.scheduler.run(2 * TICK - MS)
        assert places(machine, (0, 1)) == [0, 1]
        machine.scheduler.run(2 * TICK + MS)
        assert places(machine, (0, 1)) == [2, 1]
        machine.scheduler.run(100 * TICK)
        assert places(machine, (0, 1)) == [2, 1]


def test_one_that_may_not_leave_its_core_stays_and_the_other_one_goes() -> None:
    with machine_with(4, 2, threads_per_core=2) as machine:
        machine.scheduler.set_affinity(0, 0, (0, 1))
        wake(machine, (0, 1))
        machine.scheduler.run(3 * TICK)
        assert places(machine, (0, 1)) == [0, 2]


def test_an_idle_thread_that_is_preferred_is_better_than_an_idle_core() -> None:
    with machine_with(4, 2, threads_per_core=2) as machine:
        machine.scheduler.set_affinity(0, 0, soft=(0, 1))
        machine.scheduler.set_affinity(1, 0, (1,))
        wake(machine, (0, 1))
        machine.scheduler.run(10 * TICK)
        assert places(machine, (0, 1)) == [0, 1]


def test_threads_that_idle_alike_take_turns() -> None:
    """What comes to a core gets the thread behind the one that it gave last."""
    with machine_with(4, 2, threads_per_core=2) as machine:
        scheduler = machine.scheduler
        wake(machine, (0, 1))
        machine.scheduler.run(3 * TICK)
        assert places(machine, (0, 1)) == [2, 1]
        scheduler.set_affinity(0, 0, (0,))
        scheduler.set_affinity(0, 0, range(4))
        machine.scheduler.run(6 * TICK)
        assert places(machine, (0, 1)) == [3, 1]


@pytest.mark.parametrize(("busy", "expected"), [(3, [0, 1, 2]), (4, [4, 1, 2, 3])])
def test_another_socket_must_be_more_than_twice_as_idle(busy: int, expected: list[int]) -> None:
    with machine_with(8, busy, cores_per_socket=4) as machine:
        wake(machine, range(busy))
        machine.scheduler.run(100 * TICK)
        assert places(machine, range(busy)) == expected


def test_to_save_power_two_share_a_core() -> None:
    settings = {"threads_per_core": 2, "smt_power_savings": True}
    with machine_with(4, 3, **settings) as machine:
        wake(machine, (0, 2))
        machine.scheduler.run(3 * TICK)
        assert places(machine, (0, 2)) == [3, 2]


def wake_unboosted(machine: Machine, domid: int, ns: int) -> None:
    """It waits behind those that run."""
    machine.domain(domid).pause()
    machine.scheduler.demand(domid, 0, ns)
    machine.domain(domid).unpause()


def test_who_waits_in_the_same_node_is_taken_first() -> None:
    """CPU 3 has nothing more to do, and others wait at CPU 1, of the other node, and at CPU 2."""
    with machine_with(4, 7, nodes=2) as machine:
        scheduler = machine.scheduler
        for domid, cpus in {1: (1,), 2: (2,), 3: (3,), 5: (1, 3), 6: (2, 3)}.items():
            scheduler.set_affinity(domid, 0, cpus)
        scheduler.demand(3, 0, 5 * MS)
        wake(machine, (1, 2))
        wake_unboosted(machine, 5, FOR_EVER)
        wake_unboosted(machine, 6, 2 * MS)
        assert places(machine, (5, 6)) == [1, 2]
        run_to(scheduler, 6 * MS)
        assert places(machine, (5, 6)) == [1, 3]
        assert scheduler.run_state(6, 0).state == RunState.RUNNING
        run_to(scheduler, 8 * MS)
        assert places(machine, (5,)) == [3]
        assert scheduler.run_state(5, 0).state == RunState.RUNNING


# ---- credit2: who wakes takes an idle core ----------------------------------------------------


def credit2(cpus: int, domains: int, **settings: Any) -> Any:
    return machine_with(cpus, domains, scheduler=SchedulerKind.CREDIT2, **settings)


def test_who_wakes_takes_an_idle_core_before_an_idle_thread() -> None:
    with credit2(4, 4, threads_per_core=2) as machine:
        wake(machine, range(4))
        assert places(machine, range(4)) == [0, 2, 3, 1]


def test_to_save_power_who_wakes_takes_an_idle_thread_of_a_busy_core() -> None:
    with credit2(4, 3, threads_per_core=2, smt_power_savings=True) as machine:
        wake(machine, (0, 2))
        assert places(machine, (0, 2)) == [0, 1]


def test_a_preferred_thread_goes_before_an_idle_core_that_is_not() -> None:
    with credit2(4, 2, threads_per_core=2) as machine:
        machine.scheduler.set_affinity(1, 0, soft=(1,))
        wake(machine, (0, 1))
        assert places(machine, (0, 1)) == [0, 1]


def runqueues(machine: Machine) -> list[int]:
    """The number of each CPU's."""
    machine.debug_keys("r")
    lines = machine.console.rpartition("Cpupool 0:")[2].splitlines()
    words = [line.split() for line in lines if line.startswith("(XEN) CPU[")]
    return [int(word[3].removeprefix("runq=")) for word in words]


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (Credit2Runqueue.CPU, list(range(16))),
        (Credit2Runqueue.CORE, [cpu // 2 for cpu in range(16)]),
        (Credit2Runqueue.SOCKET, [cpu // 8 for cpu in range(16)]),
        (Credit2Runqueue.NODE, [cpu // 4 for cpu in range(16)]),
        (Credit2Runqueue.ALL, [0] * 16),
    ],
)
def test_a_runqueue_is_shared_by_what_lies_together(
    share: Credit2Runqueue, expected: list[int]
) -> None:
    settings = {"threads_per_core": 2, "cores_per_socket": 4, "credit2_runqueue": share}
    with credit2(16, 1, nodes=4, **settings) as machine:
        assert runqueues(machine) == expected


@pytest.mark.parametrize(
    ("cpus", "threads", "expected"),
    [
        (24, 1, [0] * 12 + [1] * 12),
        (20, 4, [0] * 8 + [1] * 8 + [2] * 4),  # ten would tear a core apart
        (40, 16, [0] * 16 + [1] * 16 + [2] * 8),  # 13 would, so there are more
    ],
)
def test_runqueues_are_of_equal_length_and_whole_cores(
    cpus: int, threads: int, expected: list[int]
) -> None:
    """16 CPUs at most, so 24 are in two and 40 in three; a core's threads stay together."""
    with credit2(cpus, 1, threads_per_core=threads) as machine:
        assert runqueues(machine) == expected


def test_a_cpu_that_comes_back_joins_its_core() -> None:
    with credit2(8, 1, threads_per_core=2, credit2_runqueue=Credit2Runqueue.CORE) as machine:
        before = runqueues(machine)
        pool = machine.scheduler.pool(0)
        pool.remove_cpu(5)
        pool.add_cpu(5)
        assert runqueues(machine) == before


# ---- Whatever the machine ---------------------------------------------------------------------

CPUS = 12
AFFINITIES = st.lists(st.sets(st.integers(0, CPUS - 1), min_size=1), min_size=1, max_size=CPUS)


def core(cpu: int, threads: int) -> set[int]:
    first = cpu - cpu % threads
    return set(range(first, min(first + threads, CPUS)))


def busy_cpus(machine: Machine, domids: Iterable[int]) -> set[int]:
    states = [machine.scheduler.run_state(domid, 0) for domid in domids]
    return {state.cpu for state in states if state.state == RunState.RUNNING}


@given(threads=st.integers(1, 4), affinities=AFFINITIES)
def test_credit2_never_wakes_one_on_a_busy_core_while_it_may_use_an_idle_one(
    threads: int, affinities: list[set[int]]
) -> None:
    domids = range(len(affinities))
    with credit2(CPUS, len(affinities), threads_per_core=threads) as machine:
        for domid, cpus in enumerate(affinities):
            machine.scheduler.set_affinity(domid, 0, cpus)
        for domid, cpus in enumerate(affinities):
            busy = busy_cpus(machine, domids)
            machine.scheduler.demand(domid, 0, FOR_EVER)
            idle_core = any(not core(cpu, threads) & busy for cpu in cpus)
            place = machine.scheduler.run_state(domid, 0)
            assert (place.state == RunState.RUNNING) == bool(cpus - busy)
            assert not idle_core or not core(place.cpu, threads) & busy


@given(threads=st.integers(1, 4), cores=st.integers(1, 6), affinities=AFFINITIES)
def test_credit_leaves_none_beside_another_one_while_it_may_use_an_idle_core_of_its_socket(
    threads: int, cores: int, affinities: list[set[int]]
) -> None:
    """A vcpu moves at most once at each tick, to a place with more idle ones around it, so that
    so many ticks are enough for all."""
    domids = range(len(affinities))
    settings = {"threads_per_core": threads, "cores_per_socket": cores}
    with machine_with(CPUS, len(affinities), **settings) as machine:
        for domid, cpus in enumerate(affinities):
            machine.scheduler.set_affinity(domid, 0, cpus)
        wake(machine, domids)
        machine.scheduler.run((2 + CPUS * len(affinities)) * TICK)
        busy = busy_cpus(machine, domids)
        for domid, cpus in enumerate(affinities):
            state = machine.scheduler.run_state(domid, 0)
            if state.state != RunState.RUNNING or not core(state.cpu, threads) & busy - {state.cpu}:
                continue
            socket = state.cpu // (threads * cores)
            near = {cpu for cpu in cpus if cpu // (threads * cores) == socket}
            assert all(core(cpu, threads) & busy for cpu in near)
