"""Whatever bytes come as a CDB and as data: an answer that is one, and no tape lost."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.backends.targets.changer.unit import Changer
from pvdrivers.backends.targets.command import Command
from pvdrivers.backends.targets.operations import Operation
from pvdrivers.testing.scsi.answers import check_answer

from ..any_cdb import BYTES, cdbs, reserved_bits
from .conftest import DRIVE, PORT, SLOT, Robot, move

PLACES = st.sampled_from([*range(SLOT, SLOT + 5), PORT, PORT + 1, DRIVE, DRIVE + 1])
DATA = st.binary(max_size=64) | st.lists(BYTES, max_size=64).map(bytes)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(cdbs(Changer.operations) | st.builds(move, PLACES, PLACES), DATA),
        min_size=1,
        max_size=15,
    )
)
def test_any_command(commands: list[tuple[bytes, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        names = ["A1", "A2", "A3"]
        for name in names:
            (Path(folder) / f"{name}.tap").touch()
        robot = Robot(Path(folder))
        for cdb, data in commands:
            command = Command(robot.initiator.nexus, cdb, data, 1 << 16)
            check_answer(command, robot.changer.execute(command))
        cartridges = robot.changer.inventory.cartridges
        assert sorted(one.barcode for one in cartridges.values()) == names
        for n, drive in enumerate(robot.drives):
            there = cartridges.get(DRIVE + n)
            path = robot.changer.inventory.path_of(there) if there else None
            assert drive.cartridge == path
        robot.close()


@pytest.mark.parametrize("found", list(Changer.operations), ids=lambda found: found.name)
def test_reserved_bits_are_refused(robot: Robot, found: Operation) -> None:
    """Each of them, with its place."""
    for cdb, specific in reserved_bits(found):
        sense = robot.initiator.sense(cdb)
        assert (sense[:3], sense.specific) == ((5, 0x24, 0), specific), cdb.hex(" ")
