"""The pytest plugin's fixture for SCSI hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pvdrivers.testing.scsi.loopback import ScsiLoopback


@pytest.fixture
def pv_scsi(pv_seed: int) -> Iterator[Callable[..., ScsiLoopback]]:
    """Makes connected hosts, each `ScsiLoopback(units, mode=…, …)` with the run's seed.

    They are taken down when the test ends.
    """
    from pvdrivers.testing.scsi.loopback import ScsiLoopback

    with ExitStack() as stack:
        yield lambda units, **options: stack.enter_context(
            ScsiLoopback(units, **{"seed": pv_seed, **options})
        )
