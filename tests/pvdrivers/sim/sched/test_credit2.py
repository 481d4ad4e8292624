"""Who gets the CPUs: Xen's credit2 scheduler in virtual time."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from pvdrivers.sim import Machine, MachineError
from pvdrivers.sim.cpupool import SchedParams, SchedulerKind
from pvdrivers.sim.scheduler import FOR_EVER, RunState, SchedDomain
from tests.pvdrivers.sim.sched.schedules import (
    MS,
    S,
    compute,
    latency,
    machine_with,
    run_to,
)

CREDIT2 = SchedulerKind.CREDIT2


@contextmanager
def credit2(
    cpus: int, domains: int, vcpus: int = 1, *, cores_per_socket: int = 0
) -> Iterator[Machine]:
    with machine_with(
        cpus, domains, vcpus, scheduler=CREDIT2, cores_per_socket=cores_per_socket
    ) as machine:
        yield machine


def shares(machine: Machine, domains: Sequence[SchedDomain], ns: int) -> list[float]:
    for domid, each in enumerate(domains):
        machine.scheduler.set_domain(domid, each)
    return compute(machine, range(len(domains)), ns)


# ---- Weights and caps ------------------------------------------------------------------------


def test_a_cap_is_all_vcpus_together() -> None:
    with credit2(4, 1, vcpus=4) as machine:
        machine.scheduler.set_domain(0, SchedDomain(cap=150))
        for vcpu in range(4):
            machine.scheduler.demand(0, vcpu, FOR_EVER)
        machine.scheduler.run(100 * S)
        taken = sum(machine.scheduler.run_state(0, vcpu).running for vcpu in range(4))
        assert taken / machine.now == pytest.approx(1.5, abs=0.01)


def test_a_cap_comes_and_goes() -> None:
    with credit2(1, 1) as machine:
        assert compute(machine, [0], S) == [1.0]
        assert shares(machine, [SchedDomain(cap=20)], 10 * S) == pytest.approx([0.2], abs=0.01)
        assert shares(machine, [SchedDomain(cap=60)], 10 * S) == pytest.approx([0.6], abs=0.01)
        assert shares(machine, [SchedDomain()], 10 * S) == pytest.approx([1.0], abs=0.01)


# ---- Who goes first --------------------------------------------------------------------------


def test_who_has_slept_goes_before_those_that_compute() -> None:
    with credit2(1, 4) as machine:
        compute(machine, (0, 1, 2), S)
        assert latency(machine, 3, MS // 10) <= MS + MS // 10


@pytest.mark.parametrize(("limit_us", "most"), [(0, 0), (5000, 5 * MS)])
def test_the_rate_limit_keeps_a_guest_from_being_preempted_at_once(
    limit_us: int, most: int
) -> None:
    with credit2(1, 3) as machine:
        scheduler = machine.scheduler
        scheduler.pool(0).params = SchedParams(0, limit_us)
        compute(machine, (0, 1), S)
        switches = scheduler.stats.switches
        while scheduler.stats.switches == switches:
            scheduler.run(machine.now + MS // 10)
        waited = latency(machine, 2, MS // 10) - MS // 10
        assert waited <= most
        assert (waited > 0) == (most > 0)


def test_an_epoch_is_10_ms_of_the_highest_weight() -> None:
    """Two that compute change places when one has as few credits as the other."""
    with credit2(1, 2) as machine:
        machine.scheduler.pool(0).params = SchedParams(0, 0)
        before = machine.scheduler.stats.switches
        compute(machine, (0, 1), 10 * S)
        switches = machine.scheduler.stats.switches - before
        assert 500 <= switches <= 20_000  # 0.5 to 20 ms each


# ---- CPUs ------------------------------------------------------------------------------------


def test_no_cpu_of_a_runqueue_idles_while_somebody_waits() -> None:
    with credit2(4, 4) as machine:
        assert compute(machine, range(4), S) == [1.0] * 4


def test_load_is_balanced_between_sockets() -> None:
    """Each socket has a runqueue. Of six that compute four begin on one of two CPUs, until the
    load of the other one is seen to be less."""
    with credit2(4, 8, cores_per_socket=2) as machine:
        for domid in (0, 1, 4, 5):
            machine.scheduler.set_affinity(domid, 0, (0, 1))
        for domid in range(8):
            machine.scheduler.demand(domid, 0, FOR_EVER if domid in (0, 1, 4, 5) else MS)
        run_to(machine.scheduler, 5 * S)
        for domid in (0, 1, 4, 5):
            machine.scheduler.set_affinity(domid, 0, range(4))
        start = {domid: machine.scheduler.run_state(domid, 0).running for domid in (0, 1, 4, 5)}
        machine.scheduler.run(105 * S)
        for domid, before in start.items():
            ran = machine.scheduler.run_state(domid, 0).running - before
            assert ran == pytest.approx(100 * S, rel=0.05)


# ---- What is refused, and pools --------------------------------------------------------------


@pytest.mark.parametrize("params", [(30, 1000, 0), (0, 99, 0), (0, 500_001, 0), (0, 1000, 1)])
def test_it_has_a_rate_limit_alone(params: tuple[int, int, int]) -> None:
    with credit2(1, 1) as machine:
        assert machine.scheduler.pool(0).params == SchedParams(0, 1000, 0)
        with pytest.raises(MachineError) as error:
            machine.scheduler.pool(0).params = SchedParams(*params)
        assert error.value.errno == errno.EINVAL


def test_a_domain_moves_between_pools_of_both_schedulers() -> None:
    with machine_with(2, 2) as machine:
        scheduler = machine.scheduler
        pool = scheduler.create_pool(CREDIT2)
        scheduler.pool(0).remove_cpu(1)
        pool.add_cpu(1)
        for domid in (0, 1):
            scheduler.demand(domid, 0, FOR_EVER)
        for target in (pool, scheduler.pool(0), pool):
            target.move_domain(1)
            scheduler.set_domain(1, SchedDomain(cap=50))
            before = scheduler.run_state(1, 0).running
            scheduler.run(machine.now + 10 * S)
            ran = scheduler.run_state(1, 0).running - before
            assert ran == pytest.approx(5 * S, rel=0.02)  # the cap, or a half of CPU 0
        assert scheduler.run_state(0, 0).state == RunState.RUNNING
        assert scheduler.pools[1].scheduler == CREDIT2
