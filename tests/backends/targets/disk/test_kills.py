"""A disk whose process was killed: what its initiators notice of that, which is nothing."""

from __future__ import annotations

import pytest

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.disk.unit import Disk
from pvdrivers.backends.targets.journal import Journal, journal_size
from pvdrivers.backends.targets.persistent import PersistentUnit
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.result import Status
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .conftest import ManualBackground

BLOCK, BLOCKS = 512, 64
ROOM = PersistentUnit.journal_room


class Killed(BaseException):
    pass


class Clock:
    """Counts steps, and ends the process at one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.now, self.last = 0, last

    def tick(self) -> None:
        self.now += 1
        if self.now == self.last:
            raise Killed


class TickingJournal(Journal):
    """A kill may come before a commit and after it."""

    clock = Clock()

    def commit(self, state: bytes, identity: bytes = b"", answer: Answer | None = None) -> None:
        self.clock.tick()
        super().commit(state, identity, answer)
        self.clock.tick()


class TornStore(RamStore):
    """Writes block by block, so that a kill may come between."""

    clock = Clock()

    def write(self, sector: int, data: bytes | memoryview) -> None:
        for i in range(0, len(data), BLOCK):
            self.clock.tick()
            super().write(sector + i // BLOCK, data[i : i + BLOCK])
        self.clock.tick()


class Machine:
    """What a killed process leaves to its successor."""

    def __init__(self) -> None:
        self.store = TornStore(BLOCKS * BLOCK)
        self.memory = bytearray(journal_size(ROOM))
        self.start()

    def start(self, last: int | None = None) -> None:
        self.journal = TickingJournal(self.memory, ROOM)
        self.background = ManualBackground()
        self.disk = Disk(self.store, Identity.of("disk"), background=self.background)
        self.disk.take_up(self.journal)
        self.first = UnitInitiator(self.disk, "first")
        self.second = UnitInitiator(self.disk, "second")
        self.store.clock = self.journal.clock = Clock(last)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_an_attention_that_a_query_has_told_stays_told(machine: Machine) -> None:
    machine.first.good("15 10 00 00 10 00", bytes(4) + bytes.fromhex("0a 0a 06 10") + bytes(8))
    mode_sense = "1a 08 0a 00 ff 00"
    assert machine.second.run(mode_sense).status == Status.CHECK_CONDITION
    machine.start()
    machine.second.good(mode_sense)


def test_what_initiators_have_set(machine: Machine) -> None:
    page = bytes.fromhex("0a 0a 06 10 08") + bytes(7)  # D_SENSE, SWP
    machine.first.good("15 10 00 00 10 00", bytes(4) + page)
    machine.first.good("56" + "00" * 9)
    machine.first.good("1b 00 00 00 00 00")
    for _ in range(2):
        machine.start()
        assert machine.first.run("00" * 6).sense[0] == 0x72
        assert machine.first.code("00" * 6) == "02/04/02"
        assert machine.disk.software_write_protected
        assert machine.disk.has_attention(machine.second.nexus)
    assert machine.second.code("00" * 6) == "06/2a/01"
    assert machine.second.run("00" * 6).status == Status.RESERVATION_CONFLICT
    machine.first.good("57" + "00" * 9)
    machine.first.good("1b 00 00 00 01 00")
    machine.start()
    machine.first.good("00" * 6)
    machine.second.good("00" * 6)


def test_an_attention_of_an_initiator_that_comes_later(machine: Machine) -> None:
    machine.disk.reset(machine.first.nexus)
    machine.start()
    disk = Disk(machine.store, Identity.of("disk"), background=ManualBackground())
    disk.take_up(machine.journal)
    early = UnitInitiator(disk, "first")
    assert early.code("00" * 6) == "06/29/03"
    again = Disk(machine.store, Identity.of("disk"), background=ManualBackground())
    again.take_up(machine.journal)
    UnitInitiator(again, "first").good("00" * 6)
    assert UnitInitiator(again, "second").code("00" * 6) == "06/29/03"


def test_a_reset_is_not_forgotten(machine: Machine) -> None:
    machine.first.good("16 00 00 00 00 00")
    machine.disk.reset(machine.second.nexus)
    machine.start()
    for initiator in (machine.first, machine.second):
        assert initiator.code("00" * 6) == "06/29/03"
        initiator.good("00" * 6)


def test_compare_and_write_is_done_once_wherever_it_is_killed() -> None:
    """The same command comes again to the successor, whose comparison could fail now."""
    blocks = 3
    old, new = bytes(blocks * BLOCK), b"".join(bytes([1 + i]) * BLOCK for i in range(blocks))
    cdb = BlockRange(5, blocks).cdb(0x89)
    last, was_killed = 0, True
    while was_killed:
        last += 1
        machine = Machine()
        machine.start(last)
        command = Command(Nexus("first"), cdb, old + new, identity=b"i" * 16)
        was_killed = False
        try:
            answer = machine.disk.execute(command)
        except Killed:
            was_killed = True
            machine.start()
            answer = machine.disk.execute(command)
        machine.store.clock.last = None
        assert answer == Answer()
        assert machine.second.good(BlockRange(5, blocks).cdb(0x28)) == new
        # What another initiator writes now is not written over by the first command's repetition.
        machine.second.good(BlockRange(5, blocks).cdb(0x2A), old)
        machine.start()
        assert machine.disk.execute(command) == Answer()
        assert machine.second.good(BlockRange(5, blocks).cdb(0x28)) == old
    assert last == 2 * 2 + blocks + 1 + 1  # two commits, the blocks, their end, and no kill


def test_a_sanitize_that_was_answered_goes_on(machine: Machine) -> None:
    machine.first.good(BlockRange(0, BLOCKS).cdb(0x2A), b"\xaa" * BLOCKS * BLOCK)
    machine.first.good("48 81 00 00 00 00 00 00 05 00", "01 00 00 01 55")
    machine.start()
    assert machine.first.code("00" * 6) == "02/04/1b"
    while machine.background.step():
        pass
    assert machine.first.good(BlockRange(0, BLOCKS).cdb(0x28)) == b"\x55" * BLOCKS * BLOCK
    machine.start()
    machine.first.good("00" * 6)
    assert not machine.background.step()
