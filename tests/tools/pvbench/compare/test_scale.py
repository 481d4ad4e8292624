"""The rows about many guests, with few."""

import itertools
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest

from pvdrivers.tools.pvbench.compare import rows, scale, start
from pvdrivers.tools.pvbench.compare.model import Setting
from pvdrivers.tools.pvbench.compare.needs import unmet

pytestmark = pytest.mark.slow

SETTING = Setting(0.03, Path("/nowhere"), None)


@contextmanager
def measured(name):
    """The row's comparison, when this machine has what it needs."""
    comparison = import_module(f"{rows.__name__}.{name}").comparison
    if missing := unmet(comparison, SETTING):
        pytest.skip(missing[0][1])
    with comparison.around(SETTING):
        yield comparison


@pytest.fixture
def few(monkeypatch):
    """Sets the numbers a row has."""

    def set_numbers(name, **numbers):
        module = import_module(f"{rows.__name__}.{name}")
        for number, value in numbers.items():
            monkeypatch.setattr(module, number, value)

    return set_numbers


def test_guests_idle(few):
    few("guests_idle", SIZES=(1, 3))
    with measured("guests_idle") as comparison:
        run = comparison.ours.measure(SETTING)
        assert run.value >= 0  # 0: the machine has had no time for us
        assert comparison.baseline.measure(SETTING).value >= 0
    assert [[x for x, _ in curve.points] for curve in run.curves] == [[1, 3]] * 3


def test_guests_fair(few):
    few("guests_fair", GUESTS=3)
    with measured("guests_fair") as comparison:
        run = comparison.ours.measure(SETTING)
    (curve,) = run.curves
    shares = [share for _, share in curve.points]
    assert len(shares) == 3
    assert sum(shares) == pytest.approx(3)
    assert run.value == pytest.approx(max(shares[-1] - 1, 1 - shares[0]))


def test_guests_connect(few, monkeypatch):
    few("guests_connect", FEW=1, MANY=4, STEP=2, BATCH=2, ROOM=12)
    with measured("guests_connect") as comparison:
        for _ in range(2):
            run = comparison.ours.measure(SETTING)
            assert run.value > 0
            assert comparison.baseline.measure(SETTING).value > 0
    assert [guests for guests, _ in run.curves[0].points] == [2, 4]


def test_guests_start(few, monkeypatch):
    monkeypatch.setattr(scale, "BATCH", 2)
    few("guests_start", GUESTS=3)
    told = []
    with measured("guests_start") as comparison:
        assert comparison.ours.measure(Setting(1, Path(), None, told.append)).value > 0
    assert told == ["0 of 3 guests are connected", "2 of 3 guests are connected"]


def test_idle_memory(few):
    few("idle_memory", FEW=2, MANY=12)
    with measured("idle_memory") as comparison:
        taken = comparison.ours.measure(SETTING).value
    assert 4096 < taken < comparison.target  # bytes are not timings: the target holds anywhere


def test_two_queues():
    with measured("two_queues") as comparison:
        assert comparison.ours.measure(SETTING).value >= 0
        assert comparison.baseline.measure(SETTING).value >= 0


def test_a_machine_of_any_size_takes_as_much():
    small, large = start.memory(2), start.memory(64)
    assert sum(extent.size for extent in large) == 64 << 40
    assert all(b.start > a.start + a.size for a, b in itertools.pairwise(large))
    taken = [start.measure(size).bytes for size in (2, 64)]
    assert taken[1] < 1.2 * taken[0]
    assert sum(extent.size for extent in small) == 2 << 40


@pytest.mark.parametrize("name", ["machine_time", "machine_memory"])
def test_machines_start_in_processes_of_their_own(name):
    with measured(name) as comparison:
        assert comparison.ours.measure(SETTING).value > 0
        assert comparison.baseline.measure(SETTING).value > 0


def test_scheduler_decisions():
    with measured("scheduler_decisions") as comparison:
        assert comparison.ours.measure(SETTING).value > 0


def test_pvsim_time():
    with measured("pvsim_time") as comparison:
        assert comparison.ours.measure(SETTING).value > 0


def test_too_few_open_files_are_a_reason(monkeypatch):
    monkeypatch.setattr(scale, "most_files", lambda: 100)
    need = scale.needs_open_files(8000)
    assert need.missing(SETTING) == "8000 open files are needed, 100 are allowed"
    assert scale.needs_open_files(100).missing(SETTING) is None
