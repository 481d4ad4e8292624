"""Whatever is moved, and wherever the process is killed, tapes are where a table has them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .conftest import DRIVE, INITIALIZE, PICKER, PORT, SLOT, exchange, move
from .test_kill import Killed, Process

PLACES = [PORT, PORT + 1, DRIVE, DRIVE + 1, *range(SLOT, SLOT + 4)]
ADDRESSES = st.sampled_from([*PLACES, *PLACES, PICKER, SLOT + 4])
PREVENT, ALLOW = "1e 00 00 00 01 00", "1e 00 00 00 00 00"
GOOD = ""


class Library(RuleBasedStateMachine):
    """`tapes`: by address. `kept`: addresses of drives that do not give their tapes away."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        for name in ("A1", "A2", "A3"):
            self.file(name).touch()
        self.process = Process(Path(self.folder.name))
        self.tapes = {SLOT: "A1", SLOT + 1: "A2", SLOT + 2: "A3"}
        self.kept: set[int] = set()
        self.are_ports_locked = False
        self.number = 0

    def file(self, name: str) -> Path:
        return Path(self.folder.name) / f"{name}.tap"

    def run(self, cdb: bytes) -> str:
        """How it ends, after attentions. A process that is killed meanwhile has a successor, which
        is given the command again."""
        while True:
            self.number += 1
            try:
                answer = self.process.run(self.number, cdb)
            except Killed:
                self.another_process()
                answer = self.process.run(self.number, cdb)
            if answer.status == Status.GOOD:
                return GOOD
            sense = Sense.parse(answer.sense)
            assert sense
            if sense.key != 6:
                return sense.code

    # ---- moves -------------------------------------------------------------------------------

    def refusal(self, *moves: tuple[int, int]) -> str:
        sources, destinations = {a for a, _ in moves}, {b for _, b in moves}
        if not sources | destinations <= {*PLACES}:
            return "05/21/01"
        if not sources <= self.tapes.keys():
            return "05/3b/0e"
        stay = self.tapes.keys() - sources
        if destinations & stay or min(len(sources), len(destinations)) < len(moves):
            return "05/3b/0d"
        if self.are_ports_locked and (sources | destinations) & {PORT, PORT + 1}:
            return "05/53/02"
        if sources & self.kept and moves[0][0] != moves[0][1]:
            return "05/53/03"
        return GOOD

    def moved(self, cdb: bytes, *moves: tuple[int, int]) -> None:
        expected = self.refusal(*moves)
        assert self.run(cdb) == expected
        if expected == GOOD:
            taken = [(self.tapes.pop(source), destination) for source, destination in moves]
            self.tapes |= {destination: name for name, destination in taken}

    @rule(source=ADDRESSES, destination=ADDRESSES)
    def move(self, source: int, destination: int) -> None:
        self.moved(move(source, destination), (source, destination))

    @rule(source=ADDRESSES, first=ADDRESSES, second=ADDRESSES, swaps=st.booleans())
    def exchange(self, source: int, first: int, second: int, swaps: bool) -> None:
        second = source if swaps else second
        self.moved(exchange(source, first, second), (source, first), (first, second))

    # ---- what forbids them, and operators ----------------------------------------------------

    @rule(drive=st.integers(0, 1), keeps=st.booleans())
    def keep(self, drive: int, keeps: bool) -> None:
        initiator = self.process.robot.tapes[drive]
        self.process.commits.left = None  # kills are the changer's commands'
        _attend(initiator)
        initiator.good(PREVENT if keeps else ALLOW)
        (self.kept.add if keeps else self.kept.discard)(DRIVE + drive)

    @rule(locks=st.booleans())
    def lock_ports(self, locks: bool) -> None:
        assert self.run(bytes.fromhex(PREVENT if locks else ALLOW)) == GOOD
        self.are_ports_locked = locks

    @rule()
    def operator(self) -> None:
        """Brings a tape, if there is room."""
        drives = {DRIVE, DRIVE + 1}
        free = [place for place in PLACES if place not in self.tapes.keys() | drives]
        if free:
            name = f"N{self.number}"
            self.file(name).touch()
            assert self.run(bytes.fromhex(INITIALIZE)) == GOOD
            self.tapes[free[0]] = name

    @rule()
    def another_process(self) -> None:
        try:
            self.process.again()
        except Killed:  # this one too
            self.another_process()

    @rule(after=st.integers(0, 6))
    def killed(self, after: int) -> None:
        """Before or after one of the commits to come."""
        self.process.commits.left = after

    # ---- what is there -----------------------------------------------------------------------

    @invariant()
    def all_is_where_it_should_be(self) -> None:
        assert self.run(bytes(6)) == GOOD
        robot = self.process.robot
        assert robot.full() == self.tapes
        there = [drive.cartridge.stem if drive.cartridge else None for drive in robot.drives]
        assert there == [self.tapes.get(DRIVE + n) for n in range(2)]

    def teardown(self) -> None:
        self.process.robot.close()
        self.folder.cleanup()


def _attend(initiator: UnitInitiator) -> None:
    """Until no attention is pending."""
    while initiator.run(bytes(6)).sense[2:3] == b"\6":
        pass


TestLibrary = Library.TestCase
TestLibrary.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
