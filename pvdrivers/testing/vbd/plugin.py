"""The pytest plugin's fixture for disks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pvdrivers.testing.vbd.loopback import VbdLoopback


@pytest.fixture
def pv_vbd(pv_seed: int) -> Iterator[Callable[..., VbdLoopback]]:
    """Makes connected disks, each `VbdLoopback(make_store, mode=…, …)` with the run's seed.

    They are taken down when the test ends.
    """
    from pvdrivers.testing.vbd.loopback import VbdLoopback

    with ExitStack() as stack:
        yield lambda make_store, **options: stack.enter_context(
            VbdLoopback(make_store, **{"seed": pv_seed, **options})
        )
