"""A process that writes to a tape and is killed by SIGKILL, wherever it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pvdrivers.backends.inflight import InflightFile
from pvdrivers.backends.state_directory import StateDirectory
from pvdrivers.backends.targets.command import Command, Nexus
from pvdrivers.backends.targets.journal import Journal
from pvdrivers.backends.targets.spc.identity import Identity
from pvdrivers.backends.targets.tape.unit import Tape
from pvdrivers.scsi.result import Status
from pvdrivers.testing.scsi.unit_initiator import UnitInitiator

from .tape_commands import REWIND, SILI, read, write

WRITER = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[4])!r})
from tests.backends.targets.tape.test_sigkill import take_up, write_block
tape, nexus = take_up(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    write_block(tape, nexus, number)
    print(number, flush=True)
    number += 1
"""
LENGTH = 20000


def take_up(folder: Path) -> tuple[Tape, Nexus]:
    tape = Tape(Identity.of("tape"), folder / "tape.tap")
    file = InflightFile(StateDirectory(folder / "state"), "tape")
    tape.take_up(Journal.open(file, Tape.journal_room))
    nexus = Nexus("guest")
    tape.attach(nexus)
    return tape, nexus


def block(number: int) -> bytes:
    return number.to_bytes(4, "big") * (LENGTH // 4)


def write_block(tape: Tape, nexus: Nexus, number: int) -> None:
    identity = number.to_bytes(16, "big")
    answer = tape.execute(Command(nexus, write(LENGTH), block(number), identity=identity))
    assert answer.status == Status.GOOD


@pytest.mark.slow
def test_each_block_is_there_once(tmp_path: Path) -> None:
    (tmp_path / "tape.tap").touch()
    number = 0  # of blocks whose write was acknowledged
    for _ in range(20):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout
            assert int(writer.stdout.readline()) == number
            os.kill(writer.pid, signal.SIGKILL)
            acknowledged = [number, *map(int, writer.stdout.read().split())]
        number = acknowledged[-1] + 1
        tape, nexus = take_up(tmp_path)
        write_block(tape, nexus, number)  # the one that was under way, or has not begun
        number += 1
        tape.close()
    tape, _ = take_up(tmp_path)
    initiator = UnitInitiator(tape, "another guest")
    initiator.good(REWIND)
    assert [initiator.good(read(LENGTH)) for _ in range(number)] == [*map(block, range(number))]
    assert initiator.code(read(LENGTH, SILI)) == "08/00/05"
    tape.close()
