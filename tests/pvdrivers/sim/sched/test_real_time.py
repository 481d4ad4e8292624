"""CPUs of a machine in real time: settings are kept, and CPU time is that of the processes."""

import errno
import signal
import time
from pathlib import Path

import pytest

from pvdrivers.sim import Machine, MachineError
from pvdrivers.sim.cpupool import SchedParams
from pvdrivers.sim.scheduler import RunState, SchedDomain
from tests.pvdrivers.sim.sched.burner import start_burner

MS = 1_000_000


def burn(ns: int) -> None:
    end = time.process_time_ns() + ns
    while time.process_time_ns() < end:
        pass


def test_settings_are_kept() -> None:
    with Machine(cpus=4) as machine:
        scheduler = machine.scheduler
        machine.create_domain(vcpus=2)
        pool = scheduler.create_pool()
        scheduler.pool(0).remove_cpu(3)
        pool.add_cpu(3)
        pool.params = SchedParams(tslice_ms=5)
        machine.create_domain(cpupool=pool.pool)
        scheduler.set_domain(0, SchedDomain(weight=512, cap=150))
        scheduler.set_affinity(0, 1, (0, 2), soft=(2,))
        assert scheduler.domain(0) == SchedDomain(512, 150)
        assert (scheduler.affinity(0, 1).hard, scheduler.affinity(0, 1).soft) == ((0, 2), (2,))
        assert scheduler.run_state(0, 1).cpu in (0, 2)
        assert scheduler.run_state(1, 0).cpu == 3
        assert [info.domains for info in scheduler.pools] == [1, 1]


def test_nothing_is_scheduled() -> None:
    with Machine(cpus=1) as machine:
        machine.create_domain()
        for call in (lambda: machine.scheduler.demand(0, 0, 1), lambda: machine.scheduler.run(1)):
            with pytest.raises(MachineError) as error:
                call()
            assert error.value.errno == errno.ENODEV
        assert machine.scheduler.run_state(0, 0).state == RunState.BLOCKED


def test_a_domain_has_used_what_the_process_with_its_view_has() -> None:
    with Machine(cpus=2) as machine:
        machine.create_domain()
        machine.create_domain()
        before = time.process_time_ns()
        view = machine.open_hypervisor(1)
        opened = time.process_time_ns()
        burn(50 * MS)
        asked = time.process_time_ns()
        state = machine.scheduler.run_state(1, 0)
        assert asked - opened <= state.running <= time.process_time_ns() - before
        assert machine.scheduler.run_state(0, 0).running == 0
        view.close()
        used = machine.scheduler.run_state(1, 0).running
        burn(20 * MS)
        assert machine.scheduler.run_state(1, 0).running == used >= state.running


def test_a_process_with_two_views_gives_each_domain_half_and_each_vcpu_its_part() -> None:
    with Machine(cpus=2) as machine:
        machine.create_domain()
        machine.create_domain(vcpus=4)
        before = time.process_time_ns()
        for domid in (0, 1, 1):
            machine.open_hypervisor(domid)
        opened = time.process_time_ns()
        burn(80 * MS)
        asked = time.process_time_ns()
        whole = machine.scheduler.run_state(0, 0).running
        parts = [machine.scheduler.run_state(1, vcpu).running for vcpu in range(4)]
        most = time.process_time_ns() - before
        assert (asked - opened) // 2 - 10 <= whole <= most
        for part in parts:
            assert (asked - opened) // 8 - 10 <= part <= most // 8


def test_a_new_domain_has_nothing_of_what_the_domid_had_before() -> None:
    with Machine(cpus=2) as machine:
        for domid in (0, 1):
            machine.create_domain(domid=domid)
        views = [machine.open_hypervisor(domid) for domid in (0, 1)]
        burn(20 * MS)
        machine.domain(1).destroy()
        machine.create_domain(domid=1)
        views[1].close()
        assert machine.scheduler.run_state(1, 0).running == 0
        before = machine.scheduler.run_state(0, 0).running
        burn(20 * MS)  # all of it domain 0's
        assert machine.scheduler.run_state(0, 0).running - before >= 20 * MS


def test_idle_is_what_the_processes_have_left_of_the_cpus() -> None:
    with Machine(cpus=4) as machine:
        machine.create_domain()
        machine.open_hypervisor(0)
        burn(40 * MS)
        start = machine.now
        idle = machine.scheduler.idle_time(3)
        burn(40 * MS)
        gained = machine.scheduler.idle_time(3) - idle
        passed = machine.now - start
        assert 0 <= gained <= passed - 10 * MS + 1


def test_what_a_killed_process_has_used_is_not_lost(tmp_path: Path) -> None:
    with Machine(cpus=1) as machine:
        machine.create_domain()
        path = tmp_path / "machine"
        machine.serve(path)
        process = start_burner(path, 0, 50 * MS)
        with process:
            assert process.stdout
            assert process.stdout.readline() == b"burned\n"
            used = machine.scheduler.run_state(0, 0).running
            assert used >= 50 * MS
            process.send_signal(signal.SIGKILL)
        assert machine.scheduler.run_state(0, 0).running >= used
