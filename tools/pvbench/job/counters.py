"""What the C core counts, by name."""

from collections.abc import Mapping
from typing import Any

from pvdrivers._core import ffi


def counters(stats: Any) -> dict[str, int]:
    """The integer members of a struct that `stats` points to."""
    fields = ffi.typeof(stats).item.fields
    return {
        name: int(getattr(stats, name)) for name, field in fields if field.type.kind == "primitive"
    }


def difference(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in after}
