"""A few guests, in as many processes as many have."""

import gc
import os
import resource
import signal

import pytest

from pvdrivers.tools.pvbench.crowd.crowd import Crowd
from pvdrivers.tools.pvbench.crowd.plan import Plan
from pvdrivers.tools.pvbench.errors import BenchError

SECONDS = 0.05
IDLE_DEVICE = 48 << 10  # bytes at most, its ring not counted


@pytest.fixture(autouse=True)
def limits():
    """A crowd raises this process's."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_guests_come_and_those_asked_to_are_active():
    collector = gc.get_threshold()
    with Crowd(Plan(iodepth=4), 5) as crowd:
        assert crowd.grow(2) > 0
        both = crowd.run(2, SECONDS)
        assert crowd.grow(5) > 0
        assert crowd.guests == 5
        first = crowd.run(1, SECONDS)
        every = crowd.run(5, SECONDS)
        small = crowd.run(5, SECONDS, block_size=512)
    runs = (both, first, every, small)
    assert [len(activity.operations) for activity in runs] == [2, 1, 5, 5]
    for activity in runs:
        assert activity.rate >= 0  # 0: the machine has had no time for us after the ramp
        assert all(activity.operations)
    assert gc.get_threshold() == collector


def test_an_idle_device_takes_little_memory():
    with Crowd(Plan(), 30) as crowd:
        crowd.grow(10)
        before = crowd.memory()
        crowd.grow(30)
        after = crowd.memory()
    assert after.rings - before.rings == 40 * 4096
    taken = after.resident - before.resident - 40 * 4096
    assert taken < 40 * IDLE_DEVICE


def test_disks_of_a_guest_on_a_processor_each():
    cpus = tuple(sorted(os.sched_getaffinity(0))[:2])
    if len(cpus) < 2:
        pytest.skip("there is one processor")
    with Crowd(Plan(front_cpus=cpus, back_cpus=cpus, mode="event"), 1) as crowd:
        crowd.grow(1)
        assert all(crowd.run(1, SECONDS).operations)


def test_a_process_that_dies_ends_the_crowd(monkeypatch):
    with Crowd(Plan(), 1) as crowd:
        crowd.grow(1)
        os.kill(crowd._backs.pid, signal.SIGKILL)
        with pytest.raises(BenchError, match="the backend process has died"):
            crowd.memory()
