"""The options of fio that have a syntax of their own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.tools.pvbench.errors import OptionError
from pvdrivers.tools.pvbench.fio import shapes
from pvdrivers.tools.pvbench.fio.job import Sizes
from pvdrivers.tools.pvbench.units import parse_percentiles

K = 1024


def test_block_sizes():
    assert shapes.parse_bs("4k", 1024) == [Sizes(4 * K, 4 * K)] * 3
    assert shapes.parse_bs(",64k", 1024) == [Sizes(4 * K, 4 * K)] + [Sizes(64 * K, 64 * K)] * 2
    assert shapes.parse_bsrange("1k-4k,2k-8k", 1024) == [
        Sizes(K, 4 * K),
        Sizes(2 * K, 8 * K),
        Sizes(2 * K, 8 * K),
    ]
    assert shapes.common_unit(shapes.parse_bs("6k,8k", 1024)) == 2 * K


def test_a_split():
    reads, writes, _ = shapes.parse_bssplit("4k/60:64k/:8k/10,8k", 1024)
    assert reads == Sizes(4 * K, 64 * K, [(4 * K, 60), (64 * K, 30), (8 * K, 10)])
    assert writes == Sizes(8 * K, 8 * K, [(8 * K, 100)])


@given(st.lists(st.none() | st.integers(0, 30), min_size=1, max_size=10))
def test_percents_of_a_split_are_100_or_refused(percents):
    text = ":".join(f"{4 * (i + 1)}k/{'' if p is None else p}" for i, p in enumerate(percents))
    total = sum(p or 0 for p in percents)
    if total > 100 or (total < 100 and None not in percents):
        with pytest.raises(OptionError, match="bssplit"):
            shapes.parse_bssplit(text, 1024)
        return
    shares = [percent for _, percent in shapes.parse_bssplit(text, 1024)[0].shares]
    assert sum(shares) == 100
    assert all(p is None or p == share for p, share in zip(percents, shares, strict=True))
    open_shares = [share for p, share in zip(percents, shares, strict=True) if p is None]
    assert max(open_shares, default=0) - min(open_shares, default=0) <= 1


def test_distributions():
    assert shapes.parse_distribution("random") == ("random", 0.0)
    assert shapes.parse_distribution("zipf:1.4") == ("zipf", 1.4)
    assert shapes.parse_distribution("pareto:0.9") == ("pareto", 0.9)


def test_percentile_lists():
    assert parse_percentiles("99.9:1:50") == (1.0, 50.0, 99.9)
    with pytest.raises(OptionError, match="more than 20"):
        parse_percentiles(":".join(map(str, range(21))))


def test_rates():
    assert shapes.parse_rates("--rate", "1m,500k", 1024) == (1 << 20, 500 * K, 500 * K)
    assert shapes.parse_rates("--rate_iops", ",5", 1024) == (0, 5, 5)
