"""Commands in the order of their numbers, over the wrap of 32 bits."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pvdrivers._core import ffi
from pvdrivers.tools.pvbridge.iscsi.window import MODULUS, SIZE, CommandWindow


def window_from(first: int) -> CommandWindow[Any]:
    return CommandWindow(ffi.new("struct pv_iscsi_session *", {"expected": first}))


@given(st.integers(0, MODULUS - 1), st.permutations(range(SIZE)))
def test_any_order_becomes_the_right_one(first: int, order: list[int]) -> None:
    window = window_from(first)
    begun = [item for n in order for item in window.put((first + n) % MODULUS, n)]
    assert begun == list(range(SIZE))
    assert window.expected == (first + SIZE) % MODULUS


@given(st.integers(0, MODULUS - 1))
def test_what_is_outside_is_ignored(first: int) -> None:
    window = window_from(first)
    assert window.put((first + SIZE) % MODULUS, "too far") == []
    assert window.put((first - 1) % MODULUS, "long past") == []
    assert window.put((first + 1) % MODULUS, "early") == []
    assert window.put((first + 1) % MODULUS, "twice") == []
    assert window.put(first, "now") == ["now", "early"]
    assert window.expected == (first + 2) % MODULUS
