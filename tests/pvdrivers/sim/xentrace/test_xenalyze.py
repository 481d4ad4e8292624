"""Traces of ours through Debian's xenalyze."""

from pathlib import Path

import pytest

from pvdrivers.sim import Machine
from pvdrivers.sim.cpupool import SchedulerKind
from pvdrivers.sim.scheduler import VcpuRunState
from tests.pvdrivers.sim.xentrace.records import Record, parse
from tests.pvdrivers.sim.xentrace.runs import VCPUS, trace
from tests.pvdrivers.sim.xentrace.xenalyze import needs_xenalyze, run_xenalyze, shape, totals

pytestmark = needs_xenalyze

# The names in `xenalyze --summary` of the real trace that records.py tells of.
OF_XEN = {
    *("Total time", "sched", "Runstates", "full run", "full_contention", "partial run"),
    *("partial contention", "blocked", "running", "runnable", "wake", "preempt", "cpu affinity"),
    *("Grant table ops", "Done by", "Done for", "Populate-on-demand", "Populated"),
    *("Reclaim order", "Reclaim contexts"),
}


def first_wait(records: list[Record], domid: int, vcpu: int) -> int:
    """ns from a vcpu's first runstate change to its first on a CPU, which xenalyze leaves out."""
    changes = [
        record
        for record in records
        if record.event >> 4 in range(0x2100, 0x2134) and record.extra == (domid << 16 | vcpu,)
        if record.event & 0xF == 1
    ]
    times = [record.time or 0 for record in changes]
    runs = [record.time or 0 for record in changes if record.event >> 4 & 3 == 0]
    return min(runs) - min(times) if runs else 0


@pytest.mark.parametrize("kind", SchedulerKind)
def test_its_sums_are_those_of_the_machine(tmp_path: Path, kind: SchedulerKind) -> None:
    states: dict[tuple[int, int], VcpuRunState] = {}

    def look(machine: Machine) -> None:
        states.update({who: machine.scheduler.run_state(*who) for who in VCPUS})

    path = tmp_path / "trace"
    path.write_bytes(trace(kind, seconds=3, after=look))
    records = list(parse(path.read_bytes()))
    found = totals(run_xenalyze(path, "--summary"))
    for who, state in states.items():
        wanted = {"running": state.running, "runnable": state.runnable - first_wait(records, *who)}
        for name, time in wanted.items():
            count, total = found[who].get(name, (0, 0))
            assert abs(total - time) <= 100 * (count + 1)


def test_its_summary_has_the_shape_of_a_real_ones(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(trace(seconds=3))
    assert shape(run_xenalyze(path, "--summary")) >= OF_XEN


@pytest.mark.parametrize("kind", SchedulerKind)
def test_it_dumps_every_record(tmp_path: Path, kind: SchedulerKind) -> None:
    path = tmp_path / "trace"
    path.write_bytes(trace(kind, seconds=3))
    dump = run_xenalyze(path, "--dump-all")
    for word in ("runstate_change", "sched_switch", "wake", "block"):
        assert word in dump
    assert "unknown" not in dump.lower()


def test_it_goes_on_after_records_were_lost(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    saved = iter(range(1 << 20))
    path.write_bytes(trace(seconds=3, pages=1, save=lambda: next(saved) % 16 == 0))
    assert "Total time" in run_xenalyze(path, "--summary")
