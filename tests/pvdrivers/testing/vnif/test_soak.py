"""The soak of the network device: a minute of it, and that its seed owns it."""

import pytest

from .soak import soak


def test_a_seed_owns_the_run() -> None:
    first = soak(11, hours=0.3)
    assert soak(11, hours=0.3) == first
    assert soak(12, hours=0.3) != first


@pytest.mark.slow
def test_a_minute() -> None:
    """Always the same rounds, as many as there is time for; `make soak` runs other seeds."""
    soak(2026, seconds=60)
