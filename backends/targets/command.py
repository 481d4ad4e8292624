"""A command on its way through a logical unit, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pvdrivers.scsi.result import HostByte, Status
from pvdrivers.scsi.sense import Field, Sense, SenseKey

# Additional sense codes (SPC-4 annex D) that commands of all device types end with.
INVALID_OPCODE = (0x20, 0x00)
INVALID_FIELD_IN_CDB = (0x24, 0x00)
INVALID_FIELD_IN_PARAMETERS = (0x26, 0x00)
PARAMETER_LIST_LENGTH = (0x1A, 0x00)
SAVING_PARAMETERS_NOT_SUPPORTED = (0x39, 0x00)


@dataclass(eq=False, slots=True)
class Nexus:
    """An initiator as a logical unit sees it (I_T_L nexus); the same object as long as it is there.

    `name`: what it is called in TransportIDs and reservations, the same over a restart of either
    end. `luns`: what its target reports to REPORT LUNS.
    """

    name: str
    target_port: int = 1  # relative port identifier
    luns: tuple[int, ...] = (0,)


@dataclass(eq=False, slots=True)
class Command:
    """`cdb`: all bytes that came, at most 16. `data_out`: a private copy of what the initiator
    sends. `room`: how many bytes it has for what comes back.

    `identity` is never given to another command, over all restarts: a journal knows by it what a
    killed process had done. Empty: nobody asks again.
    """

    nexus: Nexus
    cdb: bytes
    data_out: bytes | memoryview = b""
    room: int = 0
    identity: bytes = b""

    def number(self, place: int, size: int) -> int:
        """A field of the CDB."""
        return int.from_bytes(self.cdb[place : place + size], "big")

    def parameters(self, length: int) -> bytes:
        """The parameter list, of which the CDB says `length`. CheckCondition: less has come."""
        check_length(self.data_out, length)
        return bytes(self.data_out[:length])


class Answer(NamedTuple):
    """`data`: for the initiator, who gets as much as it has room for. `unused`: bytes of data_out
    that were not wanted."""

    status: int = Status.GOOD
    data: bytes | memoryview = b""
    sense: bytes = b""
    unused: int = 0
    host: int = HostByte.OK  # other: the command has not reached the unit, which answers nothing


ABORTED = Answer(Status.TASK_ABORTED, host=HostByte.ABORT)
DEFECT = Answer(Status.CHECK_CONDITION, sense=Sense(SenseKey.HARDWARE_ERROR, 0x44, 0x00).fixed())
"""Of a command on which code of ours has failed (internal target failure)."""


class CommandError(Exception):
    """How a command ends that does not end with GOOD."""

    def __init__(self, status: int) -> None:
        super().__init__(Status(status).name)
        self.status = status


class CheckCondition(CommandError):
    """CHECK CONDITION. `data` is transferred all the same, as a tape's short block is."""

    def __init__(self, sense: Sense, data: bytes | memoryview = b"") -> None:
        super().__init__(Status.CHECK_CONDITION)
        self.sense = sense
        self.data = data


def illegal_request(code: tuple[int, int], field: Field | None = None) -> CheckCondition:
    specific = field.specific if field else bytes(3)
    return CheckCondition(Sense(SenseKey.ILLEGAL_REQUEST, *code, specific=specific))


def invalid_field(byte: int, bit: int | None = None) -> CheckCondition:
    """Of the CDB."""
    return illegal_request(INVALID_FIELD_IN_CDB, Field(byte, bit))


def invalid_parameter(byte: int, bit: int | None = None) -> CheckCondition:
    """Of the parameter list."""
    return illegal_request(INVALID_FIELD_IN_PARAMETERS, Field(byte, bit, in_cdb=False))


def check_length(parameters: bytes | memoryview, length: int) -> None:
    """CheckCondition: the parameter list ends before that."""
    if len(parameters) < length:
        raise illegal_request(PARAMETER_LIST_LENGTH)
