"""A process that is killed at any store: its successor is given the command again, and nothing is
lost and nothing happens twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.journal import Journal
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.scsi.result import Status

from .kills import Killed, Memory, Stores
from .tape_commands import (
    AS_CHOSEN,
    FIXED,
    PREVENT,
    REST,
    REWIND,
    TO_END,
    UNLOAD,
    filemarks,
    format_medium,
    locate,
    locate_16,
    partition_page,
    read,
    space,
    write,
)

SHORT = "34" + "00" * 9


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> Stores:
    return Stores(monkeypatch)


class Process:
    """A drive on files that outlive it, and its only initiator."""

    def __init__(self, path: Path, stores: Stores) -> None:
        self.path, self.memory = path, Memory(stores)
        for left in path.parent.glob(f"{path.name}.*"):
            left.unlink()
        path.write_bytes(b"")
        self.start()

    def start(self) -> None:
        self.tape = Tape(Identity.of("tape"), self.path, capacity=3 << 16)
        self.tape.take_up(Journal(self.memory, Tape.journal_room))
        self.nexus = Nexus("guest")
        self.tape.attach(self.nexus)

    def run(self, number: int, cdb: bytes, data: bytes) -> Answer:
        command = Command(self.nexus, cdb, data, 1 << 20, number.to_bytes(16, "big"))
        return self.tape.execute(command)

    def content(self) -> dict[str, bytes]:
        """Of the cartridge's files, by what is behind its name."""
        files = sorted(self.path.parent.glob(f"{self.path.name}*"))
        return {file.name.removeprefix(self.path.name): file.read_bytes() for file in files}

    def close(self) -> None:
        self.tape.close()


def as_bytes(cdb: str | bytes) -> bytes:
    return bytes.fromhex(cdb) if isinstance(cdb, str) else cdb


BLOCK_LENGTH_4 = ("15 10 00 00 0c 00", bytes.fromhex("00 00 00 08 00 00 00 00 00 00 00 04"))
SCRIPT = [
    (as_bytes(cdb), data)
    for cdb, data in [
        (write(5), b"first"),
        (write(6), b"second"),
        (filemarks(2), b""),
        (write(5), b"third"),
        (SHORT, b""),
        (REWIND, b""),
        (read(9), b""),  # a short block: data and sense
        (read(6), b""),
        (read(1), b""),  # a filemark
        (space(0, -1), b""),
        (write(3), b"new"),  # over all that follows
        (read(3), b""),
        BLOCK_LENGTH_4,
        (write(3, FIXED), b"aaaabbbbcccc"),
        (locate(3), b""),
        (read(2, FIXED), b""),
        (space(1, 1), b""),
        (locate_16(1, 0), b""),
        (write(1, FIXED), b"dddd"),
        (filemarks(1), b""),
        (TO_END, b""),
        (write(0x2D000), b"e" * 0x2D000),  # early warning
        (write(0x4000), b"f" * 0x4000),  # overflow
        (PREVENT, b""),
        (UNLOAD, b""),
        ("1e 00 00 00 00 00", b""),
        (UNLOAD, b""),
        (read(4), b""),
        ("1b 00 00 00 01 00", b""),
        (read(4), b""),
        ("19 01 00 00 00 00", b""),
        (SHORT, b""),
        ("4d 00 6e 00 00 00 00 ff ff 00", b""),
        ("1a 00 3f 00 ff 00", b""),
        ("15 10 00 00 10 00", partition_page(REST, 66)),
        (REWIND, b""),
        (format_medium(AS_CHOSEN), b""),
        (write(5), b"first"),
        (locate(0, 1), b""),
        (write(6), b"second"),
        (filemarks(1), b""),
        (locate(0, 0), b""),
        (read(5), b""),
        (locate_16(0, 1, 1), b""),
        (read(1), b""),
        (REWIND, b""),
        (write(4), b"over"),
        (SHORT, b""),
        (format_medium(AS_CHOSEN), b""),  # not here
        ("4d 00 4c 00 00 00 00 ff ff 00", b""),  # bytes that were transferred
        ("1a 00 11 00 ff 00", b""),
    ]
]


@pytest.mark.parametrize("torn", [False, True])
def test_killed_at_every_store(tmp_path: Path, stores: Stores, torn: bool) -> None:
    process = Process(tmp_path / "expected.tap", stores)
    expected = [process.run(n, *one) for n, one in enumerate(SCRIPT)]
    content = process.content()
    assert [*content] == ["", ".partition-1", ".partitions"]
    process.close()
    assert any(answer.status != Status.GOOD for answer in expected)

    stores.torn = torn
    for number in range(1000):
        process = Process(tmp_path / "killed.tap", stores)
        stores.left = number
        answers = []
        kills = 0
        for n, one in enumerate(SCRIPT):
            try:
                answers.append(process.run(n, *one))
            except Killed:
                kills += 1
                process.close()
                process.start()
                answers.append(process.run(n, *one))
        assert answers == expected
        assert process.content() == content
        process.close()
        if not kills:
            break
    assert number > 2 * len(SCRIPT)


@pytest.mark.parametrize("torn", [False, True])
def test_the_initiator_is_gone_too(tmp_path: Path, stores: Stores, torn: bool) -> None:
    """Nobody asks again. The tape has what was acknowledged, and no half of a record."""
    stores.torn = torn
    for number in range(100):
        process = Process(tmp_path / "killed.tap", stores)
        acknowledged = 0
        for n, data in enumerate((b"one", b"two", b"three")):
            process.run(n, write(len(data)), data)
        process.run(3, as_bytes(REWIND), b"")
        process.run(4, read(3), b"")
        stores.left = number
        try:
            process.run(5, write(9), b"different")
            acknowledged = 1
        except Killed:
            process.close()
            process.start()
        stores.left = None
        process.run(6, as_bytes(REWIND), b"")
        found = [process.run(n, read(9, 2), b"") for n in (7, 8, 9, 10)]
        blocks = [bytes(answer.data) for answer in found if answer.status == Status.GOOD]
        assert blocks in ([b"one", b"different"], [b"one"], [b"one", b"two", b"three"])
        process.close()
        if acknowledged:
            assert blocks[1] == b"different"
            break
    assert number > 4


def test_a_command_is_carried_out_once_per_identity(tmp_path: Path, stores: Stores) -> None:
    process = Process(tmp_path / "tape.tap", stores)
    for _ in range(3):
        assert process.run(1, write(3), b"one").status == Status.GOOD
    assert process.path.stat().st_size == 12
    process.run(2, write(3), b"one")
    assert process.path.stat().st_size == 24
    process.close()


def test_a_partition_that_is_gone(tmp_path: Path, stores: Stores) -> None:
    process = Process(tmp_path / "tape.tap", stores)
    process.run(1, as_bytes("15 10 00 00 10 00"), partition_page(REST, 66))
    process.run(2, format_medium(AS_CHOSEN), b"")
    process.run(3, locate(0, 1), b"")
    process.run(4, write(3), b"one")
    process.close()
    (tmp_path / "tape.tap.partitions").unlink()
    process.start()
    assert process.run(5, as_bytes(SHORT), b"").data[:2] == b"\x80\0"
    assert process.run(6, write(3), b"two").status == Status.GOOD
    process.close()


def test_a_read_is_answered_again_after_later_ones(tmp_path: Path, stores: Stores) -> None:
    process = Process(tmp_path / "tape.tap", stores)
    for n, data in enumerate((b"one", b"three")):
        process.run(n, write(len(data)), data)
    process.run(2, as_bytes(REWIND), b"")
    first, second = process.run(3, read(4), b""), process.run(4, read(5), b"")
    assert (first.data, second.data) == (b"one", b"three")
    process.close()
    process.start()
    assert (process.run(3, read(4), b""), process.run(4, read(5), b"")) == (first, second)
    process.close()


def test_unit_attentions_and_pages_are_remembered(tmp_path: Path, stores: Stores) -> None:
    process = Process(tmp_path / "tape.tap", stores)
    other = Nexus("other guest")
    process.tape.attach(other)
    process.run(1, *map(as_bytes, BLOCK_LENGTH_4))
    page = "00 00 00 00 0a 0a 02 10 08 00 00 00 00 00 00 00"
    process.run(2, as_bytes("15 10 00 00 10 00"), as_bytes(page))
    process.close()
    process.start()
    assert process.tape.block_length == 4
    assert process.tape.software_write_protected
    process.tape.attach(other)
    answer = process.tape.execute(Command(other, bytes(6)))
    assert answer.sense[12:14] == bytes((0x2A, 0x01))
    assert process.run(3, bytes(6), b"").status == Status.GOOD
    process.close()


def test_what_was_in_the_drive_counts(tmp_path: Path, stores: Stores) -> None:
    """Not what a successor is made with. A cartridge that is gone leaves the drive empty."""
    process = Process(tmp_path / "tape.tap", stores)
    process.run(1, as_bytes(UNLOAD), b"")
    process.tape.remove()
    process.close()
    process.start()
    assert process.tape.cartridge is None
    other = tmp_path / "other.tap"
    other.touch()
    process.tape.insert(other)
    process.run(2, write(3), b"one")
    process.close()
    process.start()
    assert process.tape.cartridge == other
    process.close()
    other.unlink()
    process.start()
    assert process.tape.cartridge is None
    process.close()
