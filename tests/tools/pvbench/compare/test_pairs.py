"""The statistics, beside a plain model of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.tools.pvbench.compare import pairs
from pvdrivers.tools.pvbench.compare.model import Comparison, Contender
from pvdrivers.tools.pvbench.errors import BenchError

values = st.floats(min_value=1e-3, max_value=1e12)


def model_of_the_median(numbers):
    """By definition: as many numbers are on either side of it, or of the two of them."""
    left = sorted(numbers)
    while len(left) > 2:
        left = left[1:-1]
    return left


@given(st.lists(st.tuples(values, values), min_size=1, max_size=30))
def test_the_ratio_is_the_median_of_the_pairs(runs):
    ratios = pairs.ratios([a for a, _ in runs], [b for _, b in runs])
    expected = [a / b for a, b in runs]
    assert ratios == expected
    for sense, worse in ((">=", min), ("<=", max)):
        assert ratios[pairs.middle(ratios, sense)] == worse(model_of_the_median(expected))


def test_a_slow_moment_slows_a_pair_and_not_the_ratio():
    ratios = pairs.ratios([100, 10, 100, 1, 100], [50, 5, 50, 0.5, 50])
    assert ratios[pairs.middle(ratios)] == 2
    assert pairs.too_wide((min(ratios), max(ratios))) is None


def test_a_baseline_that_did_nothing():
    with pytest.raises(BenchError, match="no result"):
        pairs.ratios([1.0], [0.0])


@pytest.mark.parametrize(
    ("ratio", "ours", "target", "sense", "floor", "met"),
    [
        (0.5, 1, 0.5, ">=", None, True),
        (0.499, 1, 0.5, ">=", None, False),
        (1.5, 1, 1.5, "<=", None, True),
        (1.501, 1, 1.5, "<=", None, False),
        (0.2, 5, 0.1, ">=", 5, True),
        (0.2, 4, 0.1, ">=", 5, False),
        (0.05, 9, 0.1, ">=", 5, False),
        (7, 1, None, ">=", None, None),
    ],
)
def test_met(ratio, ours, target, sense, floor, met):
    contender = Contender("ours", lambda setting: pytest.fail("measured"))
    comparison = Comparison("", "ns", contender, target=target, sense=sense, floor=floor)
    assert pairs.met(comparison, ratio, ours) is met
    assert pairs.verdict(comparison, ratio, ours, None) is met
    doubtful = pairs.verdict(comparison, ratio, ours, "a busy machine")
    assert doubtful == (None if target is None else "unknown")


@pytest.mark.parametrize(
    ("spread", "words"),
    [
        ((1, 3), None),
        ((0, 0), None),
        ((1, 3.1), "the runs are 3 times apart"),
        ((0.5, 81.5), "the runs are 163 times apart"),
        ((0, 1), "a run has no result"),
    ],
)
def test_a_spread_that_says_nothing(spread, words):
    assert pairs.too_wide(spread) == words
