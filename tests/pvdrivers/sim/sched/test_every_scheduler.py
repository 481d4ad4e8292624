"""What holds whichever scheduler a pool has."""

import pytest

from pvdrivers.sim.cpupool import SchedulerKind
from pvdrivers.sim.scheduler import SchedDomain
from tests.pvdrivers.sim.sched.schedules import S, compute, machine_with

pytestmark = pytest.mark.parametrize("kind", SchedulerKind)


@pytest.mark.parametrize("cap", [5, 30, 95])
def test_a_cap_holds_on_an_idle_machine_too(kind: SchedulerKind, cap: int) -> None:
    with machine_with(4, 1, scheduler=kind) as machine:
        machine.scheduler.set_domain(0, SchedDomain(cap=cap))
        assert compute(machine, (0,), 100 * S) == pytest.approx([cap / 100], abs=0.01)


def test_a_vcpu_runs_only_where_it_may(kind: SchedulerKind) -> None:
    with machine_with(3, 4, scheduler=kind) as machine:
        for domid in range(4):
            machine.scheduler.set_affinity(domid, 0, (1,))
        assert compute(machine, range(4), 10 * S) == pytest.approx([0.25] * 4, abs=0.01)
        assert [machine.scheduler.idle_time(cpu) for cpu in range(3)] == [10 * S, 0, 10 * S]


@pytest.mark.parametrize("soft", [(2,), (0, 2)])
def test_a_vcpu_goes_to_an_idle_cpu_that_it_prefers(
    kind: SchedulerKind, soft: tuple[int, ...]
) -> None:
    with machine_with(4, 1, scheduler=kind) as machine:
        machine.scheduler.set_affinity(0, 0, soft=soft)
        assert compute(machine, (0,), S) == [1.0]
        assert sum(S - machine.scheduler.idle_time(cpu) for cpu in soft) == S
