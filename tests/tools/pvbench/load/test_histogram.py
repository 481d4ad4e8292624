"""The latency histogram against sorted lists."""

import math
import statistics

from hypothesis import given
from hypothesis import strategies as st

from pvdrivers._core import ffi, lib

VALUES = (
    st.integers(0, 2**41 - 1) | st.integers(0, 300) | st.integers(0, 41).map(lambda n: 2**n - 1)
)


def histogram_of(values: list[int]):
    histogram = ffi.new("struct pv_histogram *")
    for value in values:
        lib.pv_histogram_add(histogram, value)
    return histogram


@given(st.lists(VALUES, min_size=1, max_size=200), st.floats(0.01, 100))
def test_percentiles_are_those_of_the_sorted_list(values, percentile):
    exact = sorted(values)[max(math.ceil(percentile / 100 * len(values)), 1) - 1]
    found = lib.pv_histogram_percentile(histogram_of(values), percentile)
    assert abs(found - exact) <= exact / 100
    assert min(values) <= found <= max(values)


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=100))
def test_moments(values):
    histogram = histogram_of(values)
    assert (histogram.count, histogram.min, histogram.max) == (
        len(values),
        min(values),
        max(values),
    )
    assert math.isclose(lib.pv_histogram_mean(histogram), statistics.mean(values))
    variance = statistics.variance(values)
    assert math.isclose(lib.pv_histogram_variance(histogram), variance, rel_tol=1e-6, abs_tol=1e4)


@given(st.lists(VALUES, max_size=100), VALUES)
def test_counts_up_to_a_value(values, limit):
    count = lib.pv_histogram_up_to(histogram_of(values), limit)
    assert sum(v <= limit for v in values) <= count <= sum(v <= limit * 1.01 + 1 for v in values)


def test_nothing_and_too_much():
    empty = histogram_of([])
    assert lib.pv_histogram_percentile(empty, 99.9) == 0
    assert lib.pv_histogram_mean(empty) == lib.pv_histogram_variance(empty) == 0
    huge = histogram_of([2**64 - 1])
    assert lib.pv_histogram_percentile(huge, 50) == 2**64 - 1
