"""A tape drive with a blank cartridge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

MakeTape = Callable[..., UnitInitiator]


@pytest.fixture
def cartridge(tmp_path: Path) -> Path:
    path = tmp_path / "tape.tap"
    path.touch()
    return path


@pytest.fixture
def make_tape(cartridge: Path) -> Iterator[MakeTape]:
    """An initiator at a new drive, with the cartridge or with none."""
    tapes: list[Tape] = []

    def make(path: Path | None = cartridge, **options: Any) -> UnitInitiator:
        tape = Tape(Identity.of("tape", product="TAPE"), path, **options)
        tapes.append(tape)
        return UnitInitiator(tape)

    yield make
    for tape in tapes:
        tape.close()


@pytest.fixture
def initiator(make_tape: MakeTape) -> UnitInitiator:
    return make_tape()


@pytest.fixture
def tape(initiator: UnitInitiator) -> Tape:
    assert isinstance(initiator.unit, Tape)
    return initiator.unit
