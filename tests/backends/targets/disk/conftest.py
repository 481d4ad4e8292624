"""A small disk, in blocks of either size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pvdrivers.backends.stores.store import BlockStore, RamStore
from pvdrivers.backends.targets.background import Steps
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

BLOCKS = 256


class ManualBackground:
    """Carries out a step when it is told to."""

    def __init__(self) -> None:
        self.steps: Steps = iter(())

    def start(self, steps: Steps) -> None:
        self.steps = steps

    def step(self) -> bool:
        """Whether there was one."""
        return next(self.steps, None) is not None

    def stop(self) -> None:
        self.steps = iter(())


MakeDisk = Callable[..., UnitInitiator]


@pytest.fixture(params=[512, 4096])
def block_size(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def background() -> ManualBackground:
    return ManualBackground()


@pytest.fixture
def make_disk(background: ManualBackground) -> Iterator[MakeDisk]:
    """An initiator at a new disk on a store."""
    disks: list[Disk] = []

    def make(store: BlockStore, **options: Any) -> UnitInitiator:
        disk = Disk(store, Identity.of("disk", product="DISK"), background=background, **options)
        disks.append(disk)
        return UnitInitiator(disk)

    yield make
    for disk in disks:
        disk.close()


@pytest.fixture
def initiator(make_disk: MakeDisk, block_size: int) -> UnitInitiator:
    return make_disk(RamStore(BLOCKS * block_size, block_size))


@pytest.fixture
def disk(initiator: UnitInitiator) -> Disk:
    assert isinstance(initiator.unit, Disk)
    return initiator.unit
