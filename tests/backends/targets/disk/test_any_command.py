"""Whatever bytes come as a CDB and as data: an answer that is one, and none beyond the rules."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.targets.background import Steps
from pvdrivers.backends.targets.command import Command, Nexus
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.scsi.result import HostByte, Status
from pvdrivers.scsi.sense import MAX_SENSE, Sense, SenseKey

from ..any_cdb import BYTES, cdbs

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
        answer = disk.execute(Command(nexus, cdb, data, room=1 << 16))
        assert answer.host == HostByte.OK
        assert 0 <= answer.unused <= len(data)
        assert len(answer.sense) <= MAX_SENSE
        if answer.status == Status.CHECK_CONDITION:
            sense = Sense.parse(answer.sense)
            assert sense is not None
            assert sense.key != SenseKey.HARDWARE_ERROR
            assert not answer.data
        else:
            assert answer.status in {*Status}
            assert not answer.sense
        assert len(answer.data) <= 1 << 16
        disk.direct_access(nexus)
    disk.close()
