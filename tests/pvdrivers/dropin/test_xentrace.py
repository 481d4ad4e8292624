"""Debian's own xentrace records what a machine does, and xenalyze reads it."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pvdrivers.sim import Machine
from pvdrivers.sim.cpupool import SchedulerKind
from pvdrivers.testing.dropin import dropin_environment
from tests.pvdrivers.sim.xentrace.records import KNOWN, LOST, parse
from tests.pvdrivers.sim.xentrace.runs import CPUS, MS, create_domains, live
from tests.pvdrivers.sim.xentrace.xenalyze import needs_xenalyze, run_xenalyze, totals

from .conftest import XEN, finish

XENTRACE = XEN / "xentrace"
pytestmark = [
    needs_xenalyze,
    pytest.mark.skipif(
        not XENTRACE.exists(), reason="needs xentrace (Debian package xen-utils-4.17)"
    ),
]


def start(folder: Path, *options: str, domid: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [XENTRACE, *options, folder / "trace"],
        env=dropin_environment(folder / "machine", folder / "xenstored", domid),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("kind", SchedulerKind)
def test_a_machine_in_virtual_time(tmp_path: Path, kind: SchedulerKind) -> None:
    """It reads while the machine goes on; the buffers have room for all that is not read yet."""
    settings = {"virtual_time": True, "cpus": CPUS, "max_domains": 8, "scheduler": kind}
    with Machine("64M", **settings) as machine:
        machine.serve(tmp_path / "machine")
        create_domains(machine)
        process = start(tmp_path, "-e", "0x2f000", "-s", "10", "-S", "64")
        wait_for(lambda: "xentrace: initialised" in machine.console, process)
        file = tmp_path / "trace"
        for end in range(200, 2001, 200):
            size = file.stat().st_size
            live(machine, end * MS, seed=end)
            wait_for(lambda size=size: file.stat().st_size > size, process)
        process.send_signal(signal.SIGINT)
        finish(process)
        states = {domid: machine.scheduler.run_state(domid, 0) for domid in range(4)}
        records = list(parse(file.read_bytes()))
    assert {record.cpu for record in records} == set(range(CPUS))
    assert all(record.event in KNOWN and record.event != LOST for record in records)
    summary = run_xenalyze(file, "--summary")
    for domid in (0, 2):
        count, total = totals(summary)[domid, 0]["running"]
        assert abs(total - states[domid].running) <= 100 * count + 20 * MS


def test_a_guest_may_not(tmp_path: Path) -> None:
    with Machine("64M", virtual_time=True, cpus=CPUS, max_domains=8) as machine:
        machine.serve(tmp_path / "machine")
        create_domains(machine)
        process = start(tmp_path, domid=1)
        _, errors = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "failed to bind to VIRQ port" in errors  # it is domain 0's
        assert "xentrace" not in machine.console
