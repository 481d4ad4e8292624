"""The soak of the network device: a minute of it, and that its seed owns it."""

import pytest

from .soak import soak


def test_a_seed_owns_the_run() -> None:
    first = soak(11, hours=0.3)
    assert soak(11, hours=0.3) == first
    assert soak(12, hours=0.3) != first


@pytest.mark.slow
def test_a_minute(pv_seed: int) -> None:
    soak(pv_seed, seconds=60)
