"""What every answer of a logical unit has to be, whatever the command was."""

from __future__ import annotations

from pvdrivers.backends.targets.command import Answer, Command
from pvdrivers.scsi.result import HostByte, Status
from pvdrivers.scsi.sense import MAX_SENSE, Sense, SenseKey


def check_answer(command: Command, answer: Answer) -> None:
    """AssertionError: it is none, or it says that the unit itself is at fault."""
    assert answer.host == HostByte.OK
    assert answer.status in {*Status}
    assert 0 <= answer.unused <= len(command.data_out)
    assert len(answer.data) <= command.room
    assert len(answer.sense) <= MAX_SENSE
    if answer.status == Status.CHECK_CONDITION:
        sense = Sense.parse(answer.sense)
        assert sense is not None, answer.sense
        assert sense.key != SenseKey.HARDWARE_ERROR, sense
    else:
        assert not answer.sense
