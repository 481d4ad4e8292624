"""Whatever bytes come as a CDB and as data: an answer that is one, and none beyond the rules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.targets.background import Steps
from pvdrivers.backends.targets.command import Command, Nexus
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.operations import Operation
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.scsi.result import Status
from pvdrivers.testing.scsi.answers import check_answer
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from ..any_cdb import BYTES, cdbs, reserved_bits

BLOCKS, BLOCK = 64, 512


class AtOnce:
    def start(self, steps: Steps) -> None:
        for _ in steps:
            pass

    def stop(self) -> None: ...


DATA = st.one_of(
    st.binary(max_size=64),
    st.lists(BYTES, max_size=64).map(bytes),
    st.integers(0, 3 * BLOCK).map(bytes),
    st.integers(0, 300).map(lambda blocks: b"\xaa" * blocks * BLOCK),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(cdbs(Disk.operations), DATA, st.booleans()), min_size=1, max_size=10))
def test_any_command(commands: list[tuple[bytes, bytes, bool]]) -> None:
    disk = Disk(RamStore(BLOCKS * BLOCK), Identity.of("disk"), background=AtOnce())
    nexuses = Nexus("initiator 1"), Nexus("initiator 2")
    for nexus in nexuses:
        disk.attach(nexus)
    for cdb, data, first in commands:
        nexus = nexuses[first]
        disk.excludes_direct_access(cdb)
        command = Command(nexus, cdb, data, room=1 << 16)
        answer = disk.execute(command)
        check_answer(command, answer)
        assert answer.status != Status.CHECK_CONDITION or not answer.data
        disk.direct_access(nexus)
    disk.close()


@pytest.fixture
def initiator() -> Iterator[UnitInitiator]:
    disk = Disk(RamStore(BLOCKS * BLOCK), Identity.of("disk"))
    yield UnitInitiator(disk)
    disk.close()


@pytest.mark.parametrize("found", list(Disk.operations), ids=lambda found: found.name)
def test_reserved_bits_are_refused(initiator: UnitInitiator, found: Operation) -> None:
    """Each of them, with its place."""
    for cdb, specific in reserved_bits(found):
        sense = initiator.sense(cdb)
        assert (sense[:3], sense.specific) == ((5, 0x24, 0), specific), cdb.hex(" ")


@pytest.mark.parametrize("found", list(Disk.operations), ids=lambda found: found.name)
def test_cdbs_that_are_too_short(initiator: UnitInitiator, found: Operation) -> None:
    cdb = bytes((found.opcode, found.service_action or 0)).ljust(len(found.usage), b"\0")
    for length in range(1, len(found.usage)):
        assert initiator.code(cdb[:length]) == "05/24/00"
