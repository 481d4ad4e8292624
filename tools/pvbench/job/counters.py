"""What the C core counts, by name."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pvdrivers._core import ffi


def counters(stats: Any) -> dict[str, int]:
    """The integer members of a struct that `stats` points to."""
    fields = ffi.typeof(stats).item.fields
    return {
        name: int(getattr(stats, name)) for name, field in fields if field.type.kind == "primitive"
    }


def total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Each name's sum."""
    sums: Counter[str] = Counter()
    for count in counts:
        sums.update(count)
    return dict(sums)


def nonzero(counts: Mapping[str, int]) -> dict[str, int]:
    """What there was at all."""
    return {name: count for name, count in counts.items() if count}


def difference(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in after}
