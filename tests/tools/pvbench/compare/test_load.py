"""Whether other programs disturb a measurement, by the kernel's own accounts."""

import subprocess
import sys

import pytest

from pvdrivers.tools.pvbench.compare import load

SPIN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass"


def spin(seconds):
    """Uses `seconds` of a processor's time."""
    subprocess.run([sys.executable, "-c", SPIN.format(seconds)], check=True)


def test_columns_of_proc_stat():
    #               user nice system idle iowait irq softirq steal guest guest_nice
    stat = "cpu  1000 200 300 9999 8888 40 60 500 700 100\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
    assert load.busy_seconds(stat) == (16, 5)


def test_the_time_of_children_is_ones_own():
    before = load.own_seconds()
    spin(0.3)
    assert load.own_seconds() - before >= 0.29


def test_the_kernel_counts_what_runs():
    before, _ = load.busy_seconds(load.STAT.read_text())
    spin(0.3)
    after, _ = load.busy_seconds(load.STAT.read_text())
    assert after - before >= 0.2


@pytest.mark.parametrize(
    ("others", "stolen", "elapsed", "words"),
    [
        (0.09, 0.0, 1, None),
        (15, 0.0, 10, "other programs took 1.5 processors meanwhile"),
        (0.0, 2.5, 10, "the host took 0.25 processors meanwhile"),
        (1, 1, 0.1, None),
    ],
)
def test_words(others, stolen, elapsed, words):
    assert load.words(others, stolen, elapsed) == words
