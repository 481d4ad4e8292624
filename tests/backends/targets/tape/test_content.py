"""Whatever commands come, and wherever the process is killed, each partition of a tape has the
objects, and the tape the position, that lists would have."""

from __future__ import annotations

import itertools
import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.journal import Journal
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.image import Position, TapeImage
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense

from .kills import Killed, Memory, Stores
from .tape_commands import (
    AS_CHOSEN,
    BLOCKS,
    FILEMARKS,
    FIXED,
    ONE_PARTITION,
    REST,
    REWIND,
    SILI,
    TO_END,
    brief,
    filemarks,
    format_medium,
    locate,
    locate_16,
    partition_page,
    read,
    space,
    space_16,
    write,
)

GOOD = ("", None, "")
MARK = None
LENGTHS = st.integers(1, 20)
COUNTS = st.integers(-6, 6)
PARTITIONS = st.sampled_from([None, None, 0, 1])  # None: the one where the tape is
End = tuple[str, int | None, str]


class Content(RuleBasedStateMachine):
    """`partitions`: of each, the records, or None for a filemark. `place`: how many of them are
    before the position, which is in `partition`."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "tape.tap"
        self.path.touch()
        self.patch = pytest.MonkeyPatch()
        self.stores = Stores(self.patch)
        self.memory = Memory(self.stores)
        self.partitions: list[list[bytes | None]] = [[]]
        self.partition = self.place = self.block_length = self.written = self.number = 0
        self.start()

    def start(self) -> None:
        self.tape = Tape(Identity.of("tape"), self.path)
        self.tape.take_up(Journal(self.memory, Tape.journal_room))
        self.nexus = Nexus("guest")
        self.tape.attach(self.nexus)

    def run(self, cdb: str | bytes, data: bytes = b"") -> tuple[bytes, End]:
        answer = self.answer(bytes.fromhex(cdb) if isinstance(cdb, str) else cdb, data)
        if answer.status == Status.GOOD:
            return bytes(answer.data), GOOD
        sense = Sense.parse(answer.sense)
        assert sense
        return bytes(answer.data), brief(sense)

    def answer(self, cdb: bytes, data: bytes) -> Answer:
        """A process that is killed meanwhile has a successor, which is given the command again."""
        self.number += 1
        identity = self.number.to_bytes(16, "big")
        try:
            return self.tape.execute(Command(self.nexus, cdb, data, 1 << 16, identity))
        except Killed:
            self.another_process()
            return self.tape.execute(Command(self.nexus, cdb, data, 1 << 16, identity))

    def good(self, cdb: str | bytes, data: bytes = b"") -> bytes:
        found, end = self.run(cdb, data)
        assert end == GOOD
        return found

    @property
    def objects(self) -> list[bytes | None]:
        return self.partitions[self.partition]

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
        self.good("19 01 00 00 00 00")
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
        self.good("15 10 00 00 0c 00", bytes((0, 0, 0, 8, *bytes(7), length)))
        self.block_length = length

    # ---- positions ---------------------------------------------------------------------------

    @rule()
    def rewind(self) -> None:
        self.good(REWIND)
        self.place = 0

    @rule()
    def to_end(self) -> None:
        self.good(TO_END)
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

    def changes_partition(self, partition: int | None) -> bool:
        """False: there is no such partition."""
        if partition not in (None, self.partition) and partition < len(self.partitions):
            self.partition, self.place = partition, 0
        return partition in (None, self.partition)

    @rule(number=st.integers(0, 30), long=st.booleans(), partition=PARTITIONS)
    def locate(self, number: int, long: bool, partition: int | None) -> None:
        cdb = locate_16(0, number, partition) if long else locate(number, partition)
        end = self.run(cdb)[1]
        if not self.changes_partition(partition):
            assert end[0] == "05/24/00"
            return
        is_there = number <= len(self.objects)
        assert end == (GOOD if is_there else ("08/00/05", None, ""))
        self.place = min(number, len(self.objects))

    @rule(file=st.integers(0, 5), partition=PARTITIONS)
    def locate_file(self, file: int, partition: int | None) -> None:
        end = self.run(locate_16(1, file, partition))[1]
        if not self.changes_partition(partition):
            assert end[0] == "05/24/00"
            return
        marks = [i + 1 for i, one in enumerate(self.objects) if one is MARK]
        places = [0, *marks]
        is_there = file < len(places)
        assert end == (GOOD if is_there else ("08/00/05", None, ""))
        self.place = places[file] if is_there else len(self.objects)

    # ---- partitions and processes ------------------------------------------------------------

    @rule(number=st.sampled_from([1, 2, 2]), rewinds=st.booleans())
    def format(self, number: int, rewinds: bool) -> None:
        if rewinds:
            self.run(locate(0, 0))
            self.partition = self.place = 0
        self.good("15 10 00 00 10 00", partition_page(REST, 100))
        end = self.run(format_medium(AS_CHOSEN if number == 2 else ONE_PARTITION))[1]
        if self.partition or self.place:
            assert end[0] == "05/3b/0c"
            return
        assert end == GOOD
        self.partitions = [[] for _ in range(number)]

    @rule()
    def another_process(self) -> None:
        self.tape.close()
        try:
            self.start()
        except Killed:  # this one too
            self.another_process()

    @rule(after=st.integers(0, 8), torn=st.booleans())
    def killed(self, after: int, torn: bool) -> None:
        """At one of the stores to come."""
        self.stores.left, self.stores.torn = after, torn

    # ---- what is there -----------------------------------------------------------------------

    @invariant()
    def position_is_right(self) -> None:
        told = self.good("34 06" + "00" * 8)
        marks = self.objects[: self.place].count(MARK)
        assert struct.unpack(">4xIQQ8x", told) == (self.partition, self.place, marks)

    @invariant()
    def images_are_right(self) -> None:
        for objects, path in zip(self.partitions, self.paths, strict=False):
            image, at = TapeImage.open(path, read_only=True), Position()
            found: list[bytes | None] = []
            while one := image.after(at):
                found.append(MARK if one.is_filemark else image.read(one, 100))
                at = one.end
            image.close()
            assert found == objects

    @property
    def paths(self) -> tuple[Path, Path]:
        return self.path, self.path.with_name("tape.tap.partition-1")

    def teardown(self) -> None:
        self.tape.close()
        self.patch.undo()
        for objects, path in zip(self.partitions, self.paths, strict=False):
            simh_reads(path, objects)
        self.folder.cleanup()


def simh_reads(path: Path, objects: list[bytes | None]) -> None:
    """What SIMH's mtdump finds, which stops at the second of two filemarks."""
    if not shutil.which("mtdump"):  # test_image.py says that it is missing
        return
    command = ["mtdump", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = re.findall(r"^Obj.*(?:length = (\d+)|(end of \w+) )", done.stdout, re.MULTILINE)
    expected = []
    for before, one in itertools.pairwise([b"", *objects]):
        expected.append((str(len(one)), "") if one else ("", "end of tape"))
        if one is before is MARK:
            expected[-1] = ("", "end of logical")
            break
    assert found == expected


TestContent = Content.TestCase
TestContent.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
