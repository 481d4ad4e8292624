"""A few guests, in as many processes as many have."""

import gc
import os
import resource
import signal

import pytest

from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.scale.guests import ManyGuests
from pvdrivers.tools.pvbench.scale.spec import ScaleSpec

SECONDS = 0.05
IDLE_DEVICE = 48 << 10  # bytes at most, its ring not counted


@pytest.fixture(autouse=True)
def limits():
    """It raises this process's."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.slow
def test_guests_come_and_those_asked_to_are_active():
    collector = gc.get_threshold()
    with ManyGuests(ScaleSpec(iodepth=4), 5) as many:
        assert many.add_guests(2) > 0
        both = many.run(2, SECONDS)
        assert many.add_guests(5) > 0
        assert many.guests == 5
        first = many.run(1, SECONDS)
        every = many.run(5, SECONDS)
        small = many.run(5, SECONDS, block_size=512)
    runs = (both, first, every, small)
    assert [len(activity.operations) for activity in runs] == [2, 1, 5, 5]
    for activity in runs:
        assert activity.rate >= 0  # 0: the machine has had no time for us after the ramp
        assert all(activity.operations)
    assert gc.get_threshold() == collector


@pytest.mark.slow
def test_network_devices():
    with ManyGuests(ScaleSpec(device="vif", mode="event"), 4) as many:
        many.add_guests(4)
        alone = many.run(1, SECONDS, block_size=64)
        rings = many.memory().rings
    assert alone.rate >= 0
    assert alone.operations[0] > 0
    assert rings == 4 * 2 * 4096


@pytest.mark.slow
def test_an_idle_device_takes_little_memory():
    with ManyGuests(ScaleSpec(), 30) as many:
        many.add_guests(10)
        before = many.memory()
        many.add_guests(30)
        after = many.memory()
    assert after.rings - before.rings == 40 * 4096
    taken = after.resident - before.resident - 40 * 4096
    assert taken < 40 * IDLE_DEVICE


@pytest.mark.slow
def test_disks_of_a_guest_on_a_processor_each():
    cpus = tuple(sorted(os.sched_getaffinity(0))[:2])
    if len(cpus) < 2:
        pytest.skip("there is one processor")
    with ManyGuests(ScaleSpec(front_cpus=cpus, back_cpus=cpus, mode="event"), 1) as many:
        many.add_guests(1)
        assert all(many.run(1, SECONDS).operations)


def test_a_process_that_dies_ends_all(monkeypatch):
    with ManyGuests(ScaleSpec(), 1) as many:
        many.add_guests(1)
        os.kill(many._backend.pid, signal.SIGKILL)
        with pytest.raises(BenchError, match="the backend process has died"):
            many.memory()
