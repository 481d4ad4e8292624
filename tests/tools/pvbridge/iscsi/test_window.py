"""Commands in the order of their numbers, over the wrap of 32 bits."""

from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.tools.pvbridge.iscsi.window import MODULUS, SIZE, CommandWindow


@given(st.integers(0, MODULUS - 1), st.permutations(range(SIZE)))
def test_any_order_becomes_the_right_one(first: int, order: list[int]) -> None:
    window: CommandWindow[int] = CommandWindow(first)
    begun = [item for n in order for item in window.put((first + n) % MODULUS, n)]
    assert begun == list(range(SIZE))
    assert window.expected == (first + SIZE) % MODULUS


@given(st.integers(0, MODULUS - 1))
def test_what_is_outside_is_ignored(first: int) -> None:
    window: CommandWindow[str] = CommandWindow(first)
    assert window.put((first + SIZE) % MODULUS, "too far") == []
    assert window.put((first - 1) % MODULUS, "long past") == []
    assert window.put((first + 1) % MODULUS, "early") == []
    assert window.put((first + 1) % MODULUS, "twice") == []
    assert window.put(first, "now") == ["now", "early"]
    assert window.last == (first + 2 + SIZE - 1) % MODULUS
