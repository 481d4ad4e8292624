"""Cpupools: CPUs with a scheduler of their own, as Xen's cpupool operations have them."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine, MachineError
from pvdrivers.sim.cpupool import CpuPool, CpuPoolInfo, SchedParams, SchedulerKind
from pvdrivers.sim.scheduler import FOR_EVER, RunState, SchedDomain

MS = 1_000_000
S = 1_000 * MS


@contextmanager
def machine_with(cpus: int, domains: int) -> Iterator[Machine]:
    """Domains 0 to `domains` - 1 in Pool-0, which compute."""
    with Machine(max_domains=domains + 2, virtual_time=True, cpus=cpus) as machine:
        for domid in range(domains):
            machine.create_domain(memory="64K")
            machine.scheduler.demand(domid, 0, FOR_EVER)
        yield machine


def make_pool(machine: Machine, *cpus: int) -> CpuPool:
    """Of CPUs that Pool-0 had."""
    pool = machine.scheduler.create_pool()
    for cpu in cpus:
        machine.scheduler.pool(0).remove_cpu(cpu)
        pool.add_cpu(cpu)
    return pool


def refused(expected: int, call: Callable[[], object]) -> None:
    with pytest.raises(MachineError) as error:
        call()
    assert errno.errorcode[error.value.errno] == errno.errorcode[expected]


def running(machine: Machine, domid: int) -> int:
    return machine.scheduler.run_state(domid, 0).running


# ---- Pools -----------------------------------------------------------------------------------


def test_pool_0_has_all_cpus_and_domains() -> None:
    with machine_with(3, 2) as machine:
        expected = CpuPoolInfo(0, SchedulerKind.CREDIT, domains=2, cpus=(0, 1, 2))
        assert machine.scheduler.pools == (expected,)
        assert machine.scheduler.free_cpus == ()
        assert machine.scheduler.pool_of(1).pool == 0


def test_a_new_pool_is_empty_and_its_id_is_above_the_others() -> None:
    with machine_with(2, 1) as machine:
        scheduler = machine.scheduler
        assert scheduler.create_pool(pool=7).pool == 7
        assert scheduler.create_pool().pool == 8
        assert scheduler.create_pool(pool=3).info == CpuPoolInfo(3, SchedulerKind.CREDIT, 0, ())
        assert [info.pool for info in scheduler.pools] == [0, 3, 7, 8]


def test_above_the_last_id_the_lowest_free_one_is_taken() -> None:
    with machine_with(2, 1) as machine:
        machine.scheduler.create_pool(pool=0xFFFFFFFE)
        assert machine.scheduler.create_pool().pool == 1


def test_a_pool_cannot_be_made_when_its_id_or_scheduler_or_room_is_missing() -> None:
    with machine_with(1, 1) as machine:
        create = machine.scheduler.create_pool
        refused(errno.EEXIST, lambda: create(pool=0))
        refused(errno.ENOENT, lambda: create(99))  # type: ignore[arg-type]
        create()
        refused(errno.ENOSPC, create)


def test_a_pool_is_destroyed_only_when_it_is_empty() -> None:
    with machine_with(3, 2) as machine:
        pool = make_pool(machine, 1)
        refused(errno.EBUSY, pool.destroy)
        pool.remove_cpu(1)
        pool.destroy()
        refused(errno.ENOENT, pool.destroy)
        refused(errno.ENOENT, lambda: pool.info)
        refused(errno.EBUSY, machine.scheduler.pool(0).destroy)
        assert machine.scheduler.free_cpus == (1,)


def test_each_pool_has_parameters_of_its_own() -> None:
    with machine_with(2, 1) as machine:
        pool = make_pool(machine, 1)
        pool.params = SchedParams(tslice_ms=5, ratelimit_us=0)
        assert pool.params == SchedParams(5, 0)
        assert machine.scheduler.pool(0).params == SchedParams()
        refused(errno.ENOENT, lambda: machine.scheduler.pool(9).params)


def test_a_machine_without_cpus_has_no_pool() -> None:
    with Machine() as machine:
        assert machine.scheduler.pools == ()
        refused(errno.ENODEV, machine.scheduler.create_pool)
        refused(errno.ENOENT, lambda: machine.scheduler.pool(0).add_cpu(0))


# ---- CPUs ------------------------------------------------------------------------------------


def test_the_first_free_cpu_is_added_and_the_last_one_removed_if_none_is_named() -> None:
    with machine_with(4, 1) as machine:
        pool0, pool = machine.scheduler.pool(0), machine.scheduler.create_pool()
        pool0.remove_cpu()
        pool0.remove_cpu()
        assert machine.scheduler.free_cpus == (2, 3)
        pool.add_cpu()
        assert pool.info.cpus == (2,)
        pool.remove_cpu()
        assert pool.info.cpus == ()
        refused(errno.EINVAL, pool.remove_cpu)


def test_what_may_not_be_done_with_a_cpu() -> None:
    with machine_with(2, 1) as machine:
        pool0, pool = machine.scheduler.pool(0), machine.scheduler.create_pool()
        refused(errno.ENODEV, pool.add_cpu)  # none is free
        refused(errno.ENODEV, lambda: pool.add_cpu(1))  # it is Pool-0's
        refused(errno.EINVAL, lambda: pool.add_cpu(2))
        refused(errno.EINVAL, lambda: pool.remove_cpu(2))
        refused(errno.EADDRNOTAVAIL, lambda: pool.remove_cpu(1))
        refused(errno.EINVAL, lambda: pool0.remove_cpu(0))  # CPU 0 stays in Pool-0
        refused(errno.ENOENT, lambda: machine.scheduler.pool(9).add_cpu(1))
        with pytest.raises(UsageError, match="CPU 256 is none of 0 to 255"):
            pool.add_cpu(256)


def test_who_ran_on_a_cpu_that_leaves_goes_on_with_the_others() -> None:
    with machine_with(3, 3) as machine:
        machine.scheduler.run(S)
        machine.scheduler.pool(0).remove_cpu(2)
        machine.scheduler.pool(0).remove_cpu(1)
        machine.scheduler.run(301 * S)
        for domid in range(3):
            assert running(machine, domid) - S == pytest.approx(100 * S, rel=0.01)
        assert machine.scheduler.idle_time(1) == machine.scheduler.idle_time(2) == 300 * S


def test_a_cpu_that_joins_runs_who_waits_at_once() -> None:
    with machine_with(2, 2) as machine:
        machine.scheduler.pool(0).remove_cpu(1)
        machine.scheduler.run(S)
        machine.scheduler.pool(0).add_cpu(1)
        states = {machine.scheduler.run_state(domid, 0).state for domid in range(2)}
        assert states == {RunState.RUNNING}


def test_one_that_was_pinned_to_a_cpu_that_leaves_may_run_everywhere() -> None:
    with machine_with(3, 2) as machine:
        machine.scheduler.set_affinity(0, 0, (1,))
        machine.scheduler.set_affinity(1, 0, (1, 2))
        machine.scheduler.pool(0).remove_cpu(1)
        assert machine.scheduler.affinity(0, 0).hard == (0, 1, 2)
        assert machine.scheduler.affinity(1, 0).hard == (1, 2)
        machine.scheduler.run(S)
        assert running(machine, 0) == running(machine, 1) == S


def test_the_last_cpu_stays_while_a_domain_needs_it() -> None:
    with machine_with(2, 1) as machine:
        pool = make_pool(machine, 1)
        machine.create_domain(memory="64K", cpupool=pool.pool)
        refused(errno.EBUSY, lambda: pool.remove_cpu(1))
        machine.domain(1).destroy()
        pool.remove_cpu(1)
        assert pool.info == CpuPoolInfo(pool.pool, SchedulerKind.CREDIT, 0, ())


# ---- Domains ---------------------------------------------------------------------------------


def test_domains_of_a_pool_share_its_cpus_alone() -> None:
    with machine_with(4, 5) as machine:
        pool = make_pool(machine, 2, 3)
        for domid in (0, 1, 2):
            pool.move_domain(domid)
        machine.scheduler.set_domain(0, SchedDomain(weight=128))
        machine.scheduler.run(300 * S)
        shares = [running(machine, domid) / machine.now for domid in range(5)]
        assert shares == pytest.approx([0.4, 0.8, 0.8, 1, 1], abs=0.01)
        assert (pool.info.domains, machine.scheduler.pool(0).info.domains) == (3, 2)


def test_a_moved_domain_begins_with_the_defaults() -> None:
    with machine_with(2, 1) as machine:
        machine.scheduler.set_domain(0, SchedDomain(weight=1000, cap=30))
        machine.scheduler.set_affinity(0, 0, (0,))
        pool = make_pool(machine, 1)
        pool.move_domain(0)
        assert machine.scheduler.domain(0) == SchedDomain()
        assert machine.scheduler.affinity(0, 0).hard == (0, 1)
        assert machine.scheduler.pool_of(0).pool == pool.pool
        machine.scheduler.run(S)
        assert running(machine, 0) == S


def test_a_move_to_the_own_pool_changes_nothing() -> None:
    with machine_with(1, 1) as machine:
        machine.scheduler.set_domain(0, SchedDomain(weight=1000))
        machine.scheduler.pool(0).move_domain(0)
        assert machine.scheduler.domain(0) == SchedDomain(weight=1000)


def test_a_domain_cannot_be_where_there_is_no_cpu() -> None:
    with machine_with(1, 1) as machine:
        pool = machine.scheduler.create_pool()
        refused(errno.ENOENT, lambda: pool.move_domain(0))
        refused(errno.ESRCH, lambda: pool.move_domain(5))
        refused(errno.ENOENT, lambda: machine.scheduler.pool(9).move_domain(0))
        refused(errno.ENODEV, lambda: machine.create_domain(memory="64K", cpupool=pool.pool))
        refused(errno.ESRCH, lambda: machine.create_domain(memory="64K", cpupool=9))
        assert machine.scheduler.pool(0).info.domains == 1


def test_affinity_names_a_cpu_of_the_pool() -> None:
    with machine_with(2, 1) as machine:
        make_pool(machine, 1)
        refused(errno.EINVAL, lambda: machine.scheduler.set_affinity(0, 0, (1,)))
        machine.scheduler.set_affinity(0, 0, (0, 1))


def test_a_pool_s_accounting_begins_with_its_first_cpu() -> None:
    """Weights hold in it, and so something is earned there."""
    with machine_with(2, 3) as machine:
        machine.scheduler.run(S)
        pool = make_pool(machine, 1)
        for domid, weight in ((0, 100), (1, 300)):
            pool.move_domain(domid)
            machine.scheduler.set_domain(domid, SchedDomain(weight))
        before = [running(machine, domid) for domid in (0, 1)]
        machine.scheduler.run(401 * S)
        ran = [running(machine, domid) - was for domid, was in zip((0, 1), before, strict=True)]
        assert ran == pytest.approx([100 * S, 300 * S], rel=0.01)


def test_the_debug_key_r_shows_who_runs_and_waits_in_each_pool() -> None:
    with machine_with(3, 2) as machine:
        pool = make_pool(machine, 1)
        machine.scheduler.pool(0).remove_cpu(2)
        pool.move_domain(1)
        machine.debug_keys("r")
        pool0, pool1 = machine.console.split("Cpupool ")[-2:]
        pool1, free = pool1.split("Free CPUs:")
        assert "[0.0]" in pool0
        assert "[1.0]" not in pool0
        assert "[1.0]" in pool1
        assert "CPU[02] idle runq=2 sibling={2-2} core={0-2} node=0" in free
