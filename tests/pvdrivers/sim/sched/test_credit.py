"""Who gets the CPUs: Xen's credit scheduler in virtual time."""

import errno
from collections.abc import Sequence

import pytest

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine, MachineError
from pvdrivers.sim.cpupool import SchedParams
from pvdrivers.sim.scheduler import FOR_EVER, RunState, SchedDomain
from tests.pvdrivers.sim.sched.schedules import (
    MS,
    S,
    compute,
    latency,
    machine_with,
    run_to,
)


def running_of(machine: Machine, domids: Sequence[int]) -> int:
    """The one of them that runs."""
    (running,) = (
        domid for domid in domids if machine.scheduler.run_state(domid, 0).state == RunState.RUNNING
    )
    return running


# ---- Weights and caps ------------------------------------------------------------------------


def test_a_weight_changes_the_shares_from_then_on() -> None:
    with machine_with(1, 2) as machine:
        assert compute(machine, (0, 1), 100 * S) == pytest.approx([0.5, 0.5], abs=0.01)
        machine.scheduler.set_domain(1, SchedDomain(weight=768))
        assert compute(machine, (0, 1), 100 * S) == pytest.approx([0.25, 0.75], abs=0.01)


def test_what_a_guest_leaves_the_others_get() -> None:
    with machine_with(1, 3) as machine:
        machine.domain(2).pause()
        shares = compute(machine, (0, 1, 2), 100 * S)
        assert shares == pytest.approx([0.5, 0.5, 0.0], abs=0.01)
        machine.domain(2).unpause()
        machine.domain(0).destroy()
        assert compute(machine, (1, 2), 100 * S) == pytest.approx([0.5, 0.5], abs=0.01)


# ---- Who goes first --------------------------------------------------------------------------


def test_a_guest_that_wakes_is_boosted_before_those_that_compute() -> None:
    with machine_with(1, 4) as machine:
        compute(machine, (0, 1, 2), S + 5 * MS)
        assert latency(machine, 3, MS) == MS
        assert machine.scheduler.stats.boosts == 4


def test_a_guest_that_was_not_woken_waits_for_its_slice() -> None:
    with machine_with(1, 4) as machine:
        compute(machine, (0, 1, 2), S + 5 * MS)
        machine.domain(3).pause()
        machine.scheduler.demand(3, 0, MS)
        start = machine.now
        machine.domain(3).unpause()
        (done,) = machine.scheduler.run(start + S)
        assert done.time - start > 10 * MS


@pytest.mark.parametrize(("limit_us", "expected"), [(0, MS), (5000, 5 * MS)])
def test_the_rate_limit_keeps_a_guest_from_being_preempted_at_once(
    limit_us: int, expected: int
) -> None:
    with machine_with(1, 3) as machine:
        scheduler = machine.scheduler
        scheduler.pool(0).params = SchedParams(ratelimit_us=limit_us)
        compute(machine, (0, 1), S)
        switches = scheduler.stats.switches
        while scheduler.stats.switches == switches:
            scheduler.run(machine.now + MS // 4)
        scheduler.run(scheduler.run_state(running_of(machine, (0, 1)), 0).entered + MS)
        assert latency(machine, 2, MS) == expected


def test_a_boosted_guest_that_computes_loses_the_boost_at_the_next_tick() -> None:
    with machine_with(1, 2) as machine:
        compute(machine, (0,), S)
        machine.scheduler.demand(1, 0, FOR_EVER)
        machine.scheduler.run(machine.now + S)
        states = [machine.scheduler.run_state(domid, 0) for domid in (0, 1)]
        assert states[1].running == pytest.approx(S / 2, abs=50 * MS)


def test_guests_of_one_priority_take_turns_of_a_slice() -> None:
    with machine_with(1, 2) as machine:
        machine.scheduler.pool(0).params = SchedParams(tslice_ms=5)
        before = machine.scheduler.stats.switches
        compute(machine, (0, 1), S)
        assert machine.scheduler.stats.switches - before == pytest.approx(200, abs=10)


# ---- Demands ---------------------------------------------------------------------------------


def test_a_demand_is_reported_when_it_has_been_met() -> None:
    with machine_with(1, 1) as machine:
        machine.scheduler.demand(0, 0, 3 * MS)
        (done,) = machine.scheduler.run(S)
        assert (done.time, done.domid, done.vcpu) == (3 * MS, 0, 0)
        assert machine.now == 3 * MS
        assert machine.scheduler.run(S) == []
        assert machine.now == S
        state = machine.scheduler.run_state(0, 0)
        assert (state.state, state.running, state.blocked) == (
            RunState.BLOCKED,
            3 * MS,
            S - 3 * MS,
        )


def test_one_that_wants_more_at_once_goes_on_without_having_blocked() -> None:
    with machine_with(1, 2) as machine:
        machine.scheduler.demand(0, 0, 3 * MS)
        machine.scheduler.run(S)
        machine.scheduler.demand(0, 0, 2 * MS)
        (done,) = machine.scheduler.run(S)
        assert done.time == 5 * MS
        assert machine.scheduler.run_state(0, 0).blocked == 0


def test_demands_add_up() -> None:
    with machine_with(1, 1) as machine:
        machine.scheduler.demand(0, 0, 3 * MS)
        machine.scheduler.run(MS)
        machine.scheduler.demand(0, 0, 4 * MS)
        (done,) = machine.scheduler.run(S)
        assert done.time == 7 * MS


def test_one_that_is_done_when_its_slice_ends_is_reported_once() -> None:
    with machine_with(1, 2) as machine:
        machine.scheduler.demand(0, 0, 30 * MS)
        machine.scheduler.demand(1, 0, FOR_EVER)
        (done,) = machine.scheduler.run(S)
        assert done.time == 30 * MS
        assert machine.scheduler.run(S) == []


def test_those_that_are_done_at_the_same_time_are_reported_together() -> None:
    with machine_with(2, 2) as machine:
        machine.scheduler.demand(0, 0, MS)
        machine.scheduler.demand(1, 0, MS)
        assert {done.domid for done in machine.scheduler.run(S)} == {0, 1}


# ---- Affinity --------------------------------------------------------------------------------


def test_a_vcpu_that_may_not_stay_leaves_at_once() -> None:
    with machine_with(2, 1) as machine:
        compute(machine, (0,), S)
        (busy,) = (cpu for cpu in (0, 1) if machine.scheduler.idle_time(cpu) == 0)
        machine.scheduler.set_affinity(0, 0, (1 - busy,))
        machine.scheduler.run(3 * S)
        assert machine.scheduler.idle_time(busy) == 2 * S
        assert machine.scheduler.idle_time(1 - busy) == S


def test_one_that_is_pushed_aside_by_a_pinned_one_goes_to_an_idle_cpu() -> None:
    with machine_with(2, 2) as machine:
        compute(machine, (0,), S)
        (busy,) = (cpu for cpu in (0, 1) if machine.scheduler.idle_time(cpu) == 0)
        machine.scheduler.set_affinity(1, 0, (busy,))
        assert compute(machine, (0, 1), 10 * S) == pytest.approx([1, 1], abs=0.01)


# ---- Soft affinity, and the migration delay --------------------------------------------------


def test_one_whose_preferred_cpu_is_busy_runs_elsewhere_until_that_idles() -> None:
    with machine_with(2, 2) as machine:
        scheduler = machine.scheduler
        scheduler.set_affinity(1, 0, (1,))
        scheduler.demand(1, 0, 50 * MS)
        scheduler.set_affinity(0, 0, soft=(1,))
        scheduler.demand(0, 0, FOR_EVER)
        assert scheduler.run_state(0, 0).cpu == 0
        run_to(scheduler, 100 * MS)
        assert scheduler.run_state(0, 0).cpu == 1
        assert scheduler.run_state(0, 0).running == 100 * MS


def test_a_preference_for_cpus_on_which_it_may_not_run_means_nothing() -> None:
    with machine_with(2, 1) as machine:
        machine.scheduler.set_affinity(0, 0, (0,), soft=(1,))
        assert compute(machine, (0,), S) == [1.0]
        assert machine.scheduler.idle_time(0) == 0


@pytest.mark.parametrize(("soft", "taken"), [(None, 2), ((1,), 4)])
def test_an_idle_cpu_takes_one_that_prefers_it_before_the_others(
    soft: tuple[int, ...] | None, taken: int
) -> None:
    with machine_with(2, 5) as machine:
        scheduler = machine.scheduler
        scheduler.set_affinity(4, 0, soft=soft)
        scheduler.set_affinity(0, 0, (0,))
        scheduler.set_affinity(1, 0, (1,))
        scheduler.demand(1, 0, 5 * MS)
        for domid in (0, 2, 4):  # the last two wait behind the first
            scheduler.demand(domid, 0, FOR_EVER)
        run_to(scheduler, 6 * MS)
        running = [
            domid for domid in (0, 2, 4) if scheduler.run_state(domid, 0).state == RunState.RUNNING
        ]
        assert running == [0, taken]


@pytest.mark.parametrize(
    ("delay_us", "state"), [(0, RunState.RUNNING), (10_000, RunState.RUNNABLE)]
)
def test_who_ran_just_now_is_not_taken_by_another_cpu(delay_us: int, state: RunState) -> None:
    with machine_with(2, 3) as machine:
        scheduler = machine.scheduler
        scheduler.pool(0).params = SchedParams(migration_delay_us=delay_us)
        assert scheduler.pool(0).params.migration_delay_us == delay_us
        scheduler.set_affinity(1, 0, (1,))
        scheduler.set_affinity(2, 0, (0,))
        scheduler.demand(0, 0, FOR_EVER)
        scheduler.demand(1, 0, 25 * MS)
        run_to(scheduler, 20 * MS)
        scheduler.demand(2, 0, 20 * MS)  # takes the CPU from the first
        run_to(scheduler, 26 * MS)
        assert scheduler.run_state(0, 0).state == state


# ---- What is refused -------------------------------------------------------------------------


def test_a_machine_without_cpus_has_no_scheduler() -> None:
    with Machine() as machine:
        machine.create_domain()
        with pytest.raises(MachineError) as error:
            machine.scheduler.demand(0, 0, MS)
        assert error.value.errno == errno.ENODEV


def test_a_machine_has_256_cpus_at_most() -> None:
    with pytest.raises(UsageError, match="257 CPUs are not 0 to 256"):
        Machine(cpus=257, virtual_time=True)


@pytest.mark.parametrize(("weight", "cap"), [(0, 0), (65536, 0), (256, 101)])
def test_weights_and_caps_have_limits(weight: int, cap: int) -> None:
    with machine_with(1, 1) as machine, pytest.raises(MachineError) as error:
        machine.scheduler.set_domain(0, SchedDomain(weight, cap))
    assert error.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("slice_ms", "limit"), [(0, 0), (1001, 0), (30, 99), (1, 1001), (1000, 500001)]
)
def test_slices_and_rate_limits_have_limits(slice_ms: int, limit: int) -> None:
    with machine_with(1, 1) as machine, pytest.raises(MachineError) as error:
        machine.scheduler.pool(0).params = SchedParams(slice_ms, limit)
    assert error.value.errno == errno.EINVAL


def test_the_migration_delay_is_100_ms_at_most() -> None:
    with machine_with(1, 1) as machine:
        machine.scheduler.pool(0).params = SchedParams(migration_delay_us=100_000)
        with pytest.raises(MachineError) as error:
            machine.scheduler.pool(0).params = SchedParams(migration_delay_us=100_001)
        assert error.value.errno == errno.EINVAL


def test_unknown_domains_and_vcpus_are_refused() -> None:
    with machine_with(1, 2) as machine:
        machine.domain(1).destroy()
        for domid, vcpu, expected in (
            (1, 0, errno.ESRCH),
            (7, 0, errno.ESRCH),
            (0, 1, errno.EINVAL),
        ):
            with pytest.raises(MachineError) as error:
                machine.scheduler.demand(domid, vcpu, MS)
            assert error.value.errno == expected
        with pytest.raises(MachineError) as error:
            machine.scheduler.set_affinity(0, 0, (1,))
        assert error.value.errno == errno.EINVAL


def test_time_does_not_go_back() -> None:
    with machine_with(1, 1) as machine:
        machine.scheduler.run(S)
        with pytest.raises(MachineError):
            machine.scheduler.run(S - 1)
