"""Whatever bytes come as a CDB and as data: an answer that is one, on a tape that stays one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.backends.targets.command import Command, Nexus
from pvdrivers.backends.targets.operations import Operation
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.image import Position, TapeImage
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.testing.scsi.answers import check_answer

from ..any_cdb import BYTES, cdbs, reserved_bits
from .conftest import MakeTape
from .tape_commands import AS_CHOSEN, REST, format_medium, locate, partition_page

DATA = st.one_of(
    st.binary(max_size=64),
    st.lists(BYTES, max_size=64).map(bytes),
    st.integers(0, 1 << 17).map(bytes),
)
ANY = st.tuples(cdbs(Tape.operations), DATA)
MAKES_PARTITIONS = st.sampled_from(
    [
        (bytes.fromhex("15 10 00 00 10 00"), partition_page(REST, 66)),
        (format_medium(AS_CHOSEN), b""),
        (locate(0, 1), b""),
        (locate(0, 0), b""),
    ]
)
SIZE = 3 << 16


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(ANY | MAKES_PARTITIONS, st.booleans()), min_size=1, max_size=15))
def test_any_command(commands: list[tuple[tuple[bytes, bytes], bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tape.tap"
        path.write_bytes(b"\3\0\0\0one\0\3\0\0\0" + bytes(4) + b"\2\0\0\x80xy\2\0\0\x80" + bytes(4))
        tape = Tape(Identity.of("tape"), path, capacity=SIZE)
        nexuses = Nexus("initiator 1"), Nexus("initiator 2")
        for nexus in nexuses:
            tape.attach(nexus)
        for (cdb, data), first in commands:
            command = Command(nexuses[first], cdb, data, room=1 << 16)
            check_answer(command, tape.execute(command))
        tape.close()
        images = [path, *path.parent.glob("tape.tap.partition-1")]
        assert sum(image.stat().st_size for image in images) <= SIZE
        for image in images:
            objects_of(image)


def objects_of(path: Path) -> None:
    """ImageError: what the commands have left is no tape."""
    image = TapeImage.open(path)
    position = Position()
    while found := image.after(position):
        position = found.end
    image.close()


@pytest.mark.parametrize("found", list(Tape.operations), ids=lambda found: found.name)
def test_reserved_bits_are_refused(make_tape: MakeTape, found: Operation) -> None:
    """Each of them, with its place."""
    initiator = make_tape()
    for cdb, specific in reserved_bits(found):
        sense = initiator.sense(cdb)
        assert (sense[:3], sense.specific) == ((5, 0x24, 0), specific), cdb.hex(" ")


@pytest.mark.parametrize("found", list(Tape.operations), ids=lambda found: found.name)
def test_cdbs_that_are_too_short(make_tape: MakeTape, found: Operation) -> None:
    cdb = bytearray(len(found.usage) - 1)
    cdb[0], cdb[1] = found.opcode, found.service_action or 0
    assert make_tape().code(bytes(cdb)) == "05/24/00"
