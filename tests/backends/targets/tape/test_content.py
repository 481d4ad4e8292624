"""Whatever commands come, a tape has the objects and the position that a list would have."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pvdrivers.backends.targets.journal import Journal, journal_size
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.image import Position, TapeImage
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .tape_commands import (
    BLOCKS,
    FILEMARKS,
    FIXED,
    REWIND,
    SILI,
    TO_END,
    block_length,
    brief,
    filemarks,
    locate,
    locate_16,
    position,
    read,
    space,
    space_16,
    write,
)

GOOD = ("", None, "")
MARK = None
LENGTHS = st.integers(1, 20)
COUNTS = st.integers(-6, 6)
End = tuple[str, int | None, str]


class Content(RuleBasedStateMachine):
    """`objects`: records, or None for a filemark. `place`: how many are before the position."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "tape.tap"
        self.path.touch()
        self.memory = bytearray(journal_size(Tape.journal_room))
        self.objects: list[bytes | None] = []
        self.place = self.block_length = self.written = 0
        self.start()

    def start(self) -> None:
        tape = Tape(Identity.of("tape"), self.path)
        tape.take_up(Journal(self.memory, Tape.journal_room))
        self.initiator = UnitInitiator(tape)

    def run(self, cdb: bytes, data: bytes = b"") -> tuple[bytes, End]:
        answer = self.initiator.run(cdb, data)
        if answer.status == Status.GOOD:
            return bytes(answer.data), GOOD
        sense = Sense.parse(answer.sense)
        assert sense
        return bytes(answer.data), brief(sense)

    def data(self, length: int) -> bytes:
        """Others each time."""
        self.written += 1
        return (b"%d " % self.written * length)[:length]

    def put(self, *objects: bytes | None) -> None:
        self.objects[self.place :] = objects
        self.place = len(self.objects)

    # ---- writing -----------------------------------------------------------------------------

    @rule(length=LENGTHS)
    def write(self, length: int) -> None:
        data = self.data(length)
        assert self.run(write(length), data) == (b"", GOOD)
        self.put(data)

    @rule(blocks=st.integers(1, 4))
    def write_fixed(self, blocks: int) -> None:
        size = self.block_length
        data = [self.data(size) for _ in range(blocks)]
        end = self.run(write(blocks, FIXED), b"".join(data))[1]
        assert end == (GOOD if size else ("05/24/00", None, ""))
        if size:
            self.put(*data)

    @rule(count=st.integers(0, 3))
    def write_filemarks(self, count: int) -> None:
        assert self.run(filemarks(count, flags=1))[1] == GOOD
        if count:
            self.put(*[MARK] * count)

    @rule()
    def erase(self) -> None:
        self.initiator.good("19 01 00 00 00 00")
        del self.objects[self.place :]

    # ---- reading -----------------------------------------------------------------------------

    def next_object(self, residual: int) -> bytes | End:
        if self.place == len(self.objects):
            return "08/00/05", residual, ""
        self.place += 1
        found = self.objects[self.place - 1]
        return ("00/00/01", residual, "F") if found is MARK else found

    @rule(length=LENGTHS, silent=st.booleans())
    def read(self, length: int, silent: bool) -> None:
        got = self.run(read(length, SILI if silent else 0))
        found = self.next_object(length)
        if isinstance(found, tuple):
            assert got == (b"", found)
            return
        short, long = length > len(found), length < len(found)
        told = (short and not silent) or (long and not (silent and not self.block_length))
        end = ("00/00/00", length - len(found), "I") if told else GOOD
        assert got == (found[:length], end)

    @rule(blocks=st.integers(1, 4))
    def read_fixed(self, blocks: int) -> None:
        got = self.run(read(blocks, FIXED))
        if not self.block_length:
            assert got[1][0] == "05/24/00"
            return
        data = b""
        for left in range(blocks, 0, -1):
            found = self.next_object(left)
            if isinstance(found, tuple):
                assert got == (data, found)
                return
            if len(found) != self.block_length:
                assert got == (data, ("00/00/00", left, "I"))
                return
            data += found
        assert got == (data, GOOD)

    @rule(length=st.integers(0, 5))
    def choose_block_length(self, length: int) -> None:
        block_length(self.initiator, length)
        self.block_length = length

    # ---- positions ---------------------------------------------------------------------------

    @rule()
    def rewind(self) -> None:
        self.initiator.good(REWIND)
        self.place = 0

    @rule()
    def to_end(self) -> None:
        self.initiator.good(TO_END)
        self.place = len(self.objects)

    @rule(count=COUNTS, kind=st.sampled_from([BLOCKS, FILEMARKS]), long=st.booleans())
    def space(self, count: int, kind: int, long: bool) -> None:
        end = self.run((space_16 if long else space)(kind, count))[1]
        assert end == self.spaced(abs(count), kind, 1 if count > 0 else -1)

    def spaced(self, left: int, kind: int, step: int) -> End:
        while left:
            if step > 0 and self.place == len(self.objects):
                return "08/00/05", left, ""
            if step < 0 and self.place == 0:
                return "00/00/04", left, "E"
            passed = self.objects[self.place if step > 0 else self.place - 1]
            self.place += step
            if passed is MARK and kind == BLOCKS:
                return "00/00/01", left, "F"
            if kind == BLOCKS or passed is MARK:
                left -= 1
        return GOOD

    @rule(number=st.integers(0, 30), long=st.booleans())
    def locate(self, number: int, long: bool) -> None:
        end = self.run(locate_16(0, number) if long else locate(number))[1]
        is_there = number <= len(self.objects)
        assert end == (GOOD if is_there else ("08/00/05", None, ""))
        self.place = min(number, len(self.objects))

    @rule(file=st.integers(0, 5))
    def locate_file(self, file: int) -> None:
        marks = [i + 1 for i, one in enumerate(self.objects) if one is MARK]
        places = [0, *marks]
        end = self.run(locate_16(1, file))[1]
        is_there = file < len(places)
        assert end == (GOOD if is_there else ("08/00/05", None, ""))
        self.place = places[file] if is_there else len(self.objects)

    @rule()
    def another_process(self) -> None:
        self.initiator.unit.close()
        self.start()

    # ---- what is there -----------------------------------------------------------------------

    @invariant()
    def position_is_right(self) -> None:
        marks = self.objects[: self.place].count(MARK)
        assert position(self.initiator) == (self.place, marks)

    @invariant()
    def image_is_right(self) -> None:
        image, at = TapeImage.open(self.path, read_only=True), Position()
        found: list[bytes | None] = []
        while one := image.after(at):
            found.append(MARK if one.is_filemark else image.read(one, 100))
            at = one.end
        image.close()
        assert found == self.objects

    def teardown(self) -> None:
        self.initiator.unit.close()
        self.folder.cleanup()


TestContent = Content.TestCase
TestContent.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
