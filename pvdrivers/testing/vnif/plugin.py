"""The pytest plugin's fixture for network devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pvdrivers.testing.vnif.loopback import VnifLoopback


@pytest.fixture
def pv_vnif(pv_seed: int) -> Iterator[Callable[..., VnifLoopback]]:
    """Makes connected network devices, each `VnifLoopback(make_uplink, mode=…, …)` with the run's
    seed.

    They are taken down when the test ends.
    """
    from pvdrivers.testing.vnif.loopback import VnifLoopback

    with ExitStack() as stack:
        yield lambda make_uplink, **options: stack.enter_context(
            VnifLoopback(make_uplink, **{"seed": pv_seed, **options})
        )
