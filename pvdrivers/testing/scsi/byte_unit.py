"""A logical unit for tests of drivers: it keeps bytes, and what it was asked.

It knows three commands, with the layout of the 10-byte CDBs, in which a byte's place stands for the
block's: READ and WRITE of as many bytes as there is room for or data of, and TEST UNIT READY. Any
other ends with CHECK CONDITION.
"""

from __future__ import annotations

from pvdrivers.backends.targets.command import INVALID_OPCODE, Answer, Command
from pvdrivers.backends.targets.logical_unit import SynchronousUnit
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense, SenseKey

TEST_UNIT_READY, READ, WRITE = 0x00, 0x28, 0x2A
SENSE = Sense(SenseKey.ILLEGAL_REQUEST, *INVALID_OPCODE).fixed()  # to what it does not know


def cdb(opcode: int, place: int = 0) -> bytes:
    return bytes([opcode, 0]) + place.to_bytes(4, "big") + bytes(4)


class ByteUnit(SynchronousUnit):
    """`memory`: what it keeps, `size` bytes. `cdbs`: what it has carried out."""

    device_type = 0
    may_block = False

    def __init__(self, size: int = 1 << 16) -> None:
        self.memory = bytearray(size)
        self.cdbs: list[bytes] = []

    def execute(self, command: Command) -> Answer:
        self.cdbs.append(command.cdb)
        place = int.from_bytes(command.cdb[2:6], "big")
        match command.cdb[0]:
            case 0x00:
                return Answer()
            case 0x28:
                return Answer(data=bytes(self.memory[place : place + command.room]))
            case 0x2A:
                end = min(len(self.memory), place + len(command.data_out))
                self.memory[place:end] = command.data_out[: end - place]
                return Answer(unused=place + len(command.data_out) - end)
        return Answer(Status.CHECK_CONDITION, sense=SENSE)

    def __repr__(self) -> str:
        return f"<ByteUnit of {len(self.memory)} bytes>"
