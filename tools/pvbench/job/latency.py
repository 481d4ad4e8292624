"""Latency histograms as they travel between processes, and what is read from them."""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Self

from msgspec import Struct

from pvdrivers._core import ffi, lib


class Latency(Struct, frozen=True, dict=True):
    """A latency histogram, ns."""

    count: int
    min: int
    max: int
    sum: float
    sum_of_squares: float
    buckets: dict[int, int]  # of struct pv_histogram; those that are not empty

    @classmethod
    def of(cls, histogram: Any) -> Self:
        """What a `struct pv_histogram` holds."""
        buckets = {i: count for i, count in enumerate(histogram.buckets) if count}
        moments = histogram.sum, histogram.sum_of_squares
        return cls(histogram.count, histogram.min, histogram.max, *moments, buckets)

    @classmethod
    def merged(cls, latencies: Iterable["Latency"]) -> Self:
        some = [latency for latency in latencies if latency.count]
        buckets: Counter[int] = Counter()
        for latency in some:
            buckets.update(latency.buckets)
        return cls(
            sum(latency.count for latency in some),
            min((latency.min for latency in some), default=0),
            max((latency.max for latency in some), default=0),
            sum(latency.sum for latency in some),
            sum(latency.sum_of_squares for latency in some),
            dict(buckets),
        )

    @cached_property
    def _histogram(self) -> Any:
        histogram = ffi.new("struct pv_histogram *")
        histogram.count, histogram.min, histogram.max = self.count, self.min, self.max
        histogram.sum, histogram.sum_of_squares = self.sum, self.sum_of_squares
        for bucket, count in self.buckets.items():
            histogram.buckets[bucket] = count
        return histogram

    @property
    def mean(self) -> float:
        return float(lib.pv_histogram_mean(self._histogram))

    @property
    def stddev(self) -> float:
        return float(lib.pv_histogram_variance(self._histogram) ** 0.5)

    def percentile(self, percent: float) -> int:
        return int(lib.pv_histogram_percentile(self._histogram, percent))

    def up_to(self, bound: int) -> int:
        """How many were at most `bound`."""
        return int(lib.pv_histogram_up_to(self._histogram, bound))

    def bins(self) -> list[tuple[int, int]]:
        """The value in the middle of each bucket that is not empty, and how many it holds."""
        some = sorted(self.buckets.items())
        return [(lib.pv_histogram_value(bucket), count) for bucket, count in some]
