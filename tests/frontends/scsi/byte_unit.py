"""A logical unit that keeps bytes: WRITE(10) and READ(10), whose LBA is a byte's place."""

from __future__ import annotations

from pvdrivers.backends.targets.command import Answer, Command
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense, SenseKey

WRITE, READ, READY, UNKNOWN = 0x2A, 0x28, 0x00, 0xFF
SENSE = Sense(SenseKey.ILLEGAL_REQUEST, 0x20, 0x00).fixed()


def cdb(opcode: int, place: int = 0) -> bytes:
    return bytes([opcode, 0]) + place.to_bytes(4, "big") + bytes(4)


class ByteUnit(LogicalUnit):
    """`cdbs`: what it has carried out."""

    device_type = 0

    def __init__(self, size: int = 1 << 16) -> None:
        self.memory = bytearray(size)
        self.cdbs: list[bytes] = []

    def execute(self, command: Command) -> Answer:
        self.cdbs.append(command.cdb)
        place = int.from_bytes(command.cdb[2:6], "big")
        match command.cdb[0]:
            case 0x2A:
                self.memory[place : place + len(command.data_out)] = command.data_out
                return Answer()
            case 0x28:
                return Answer(data=bytes(self.memory[place : place + command.room]))
            case 0x00:
                return Answer()
        return Answer(Status.CHECK_CONDITION, sense=SENSE)

    def __repr__(self) -> str:
        return f"<ByteUnit of {len(self.memory)} bytes>"
