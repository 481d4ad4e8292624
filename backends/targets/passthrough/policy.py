"""What a guest may ask of a device that is passed through, and what it is told instead."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pvdrivers.backends.targets.command import (
    INVALID_OPCODE,
    CheckCondition,
    Command,
    illegal_request,
    invalid_field,
)
from pvdrivers.backends.targets.command_table import service_action_place
from pvdrivers.backends.targets.passthrough.commands import Passed, all_names, table_of
from pvdrivers.backends.targets.spc.mode import HARDWARE_PROTECTED
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.sense import Field

RESERVATIONS = (
    "RESERVE(6)",
    "RELEASE(6)",
    "RESERVE(10)",
    "RELEASE(10)",
    "PERSISTENT RESERVE IN",
    "PERSISTENT RESERVE OUT",
)
INQUIRY, MODE_SENSE_6, MODE_SENSE_10 = 0x12, 0x1A, 0x5A
MAINTENANCE_IN, SUPPORTED_OPERATION_CODES = 0xA3, 0x0C
_LENGTHS = {0: 6, 1: 10, 2: 10, 4: 16, 5: 12}  # of CDBs, by group code
_WHOLE = 1 << 16  # bytes, which no list of commands is longer than
_NACA = 2  # bit of the control byte, the last of a CDB

Data = bytes | memoryview


class Policy:
    """`allow`: names of commands that a guest has beside the usual ones. `refuse`: of those that it
    has not. `read_only`: what writes is 07/27/00."""

    def __init__(
        self, allow: Collection[str] = (), read_only: bool = False, refuse: Iterable[str] = ()
    ) -> None:
        """UsageError: no command is called so."""
        check_names(allow)
        self._allow = frozenset(allow)
        self._refuse = frozenset(refuse) - self._allow
        self.read_only = read_only

    def permits(self, command: Passed) -> bool:
        return (command.allowed or command.name in self._allow) and command.name not in self._refuse

    def check(self, device_type: int, cdb: bytes) -> Passed:
        """CheckCondition: it must not be sent."""
        found = table_of(device_type).find(cdb)
        if not self.permits(found):
            raise illegal_request(INVALID_OPCODE, Field(0))
        length = cdb_length(cdb)
        if len(cdb) < length:
            raise invalid_field(len(cdb))
        if cdb[length - 1] & 1 << _NACA:  # nobody could clear an auto contingent allegiance
            raise invalid_field(length - 1, _NACA)
        if self.read_only and found.writes:
            raise CheckCondition(HARDWARE_PROTECTED)
        return found

    def asked(self, command: Command) -> Command:
        """What the device is asked: for a list of which `shown` leaves some out, all of it."""
        cdb = command.cdb
        if not _lists_commands(cdb) or cdb[2] & 7:
            return command
        whole = cdb[:6] + _WHOLE.to_bytes(4, "big") + cdb[10:]
        return Command(command.nexus, whole, room=_WHOLE)

    def shown(self, device_type: int, command: Command, data: Data) -> Data:
        """What the guest gets of an answer: nothing in it says that the device can do what the
        guest may not ask for."""
        cdb = command.cdb
        if cdb[0] == INQUIRY and not cdb[1] & 1:
            return _inquiry(bytearray(data), self._has(device_type, 0x83))
        if self.read_only and cdb[0] in (MODE_SENSE_6, MODE_SENSE_10):
            return _protected(bytearray(data), 2 if cdb[0] == MODE_SENSE_6 else 3)
        if _lists_commands(cdb):
            return self._supported(device_type, cdb, bytearray(data))
        return data

    def _has(self, device_type: int, opcode: int) -> bool:
        found = (each for each in table_of(device_type) if each.opcode == opcode)
        return any(self.permits(each) for each in found)

    def _supported(self, device_type: int, cdb: bytes, data: bytearray) -> bytes:
        if cdb[2] & 7:  # of one command
            if not self._permits_code(device_type, cdb[3], int.from_bytes(cdb[4:6], "big")):
                return b"\0\1\0\0"[: len(data)]
            return bytes(data)
        listed = int.from_bytes(data[:4], "big")
        kept, place = bytearray(), 4
        while place + 8 <= min(4 + listed, len(data)):
            size = 20 if data[place + 5] & 2 else 8  # with a timeouts descriptor
            action = int.from_bytes(data[place + 2 : place + 4], "big")
            if self._permits_code(device_type, data[place], action):
                kept += data[place : place + size]
            place += size
        return (len(kept).to_bytes(4, "big") + kept)[: int.from_bytes(cdb[6:10], "big")]

    def _permits_code(self, device_type: int, opcode: int, action: int) -> bool:
        cdb = bytearray((opcode, *bytes(15)))
        place, mask = service_action_place(opcode)
        cdb[place] = action & mask
        try:
            return self.permits(table_of(device_type).find(bytes(cdb)))
        except CheckCondition:
            return False


def cdb_length(cdb: bytes) -> int:
    """Of the command in it, in bytes: what is behind is ignored."""
    return _LENGTHS.get(cdb[0] >> 5, len(cdb))


def check_names(allow: Iterable[str]) -> None:
    """UsageError: no command is called so."""
    for name in allow:
        if name not in all_names():
            raise UsageError(
                f"no command {name!r} can be allowed: there are {', '.join(all_names())}"
            )


def _lists_commands(cdb: bytes) -> bool:
    return cdb[0] == MAINTENANCE_IN and cdb[1] & 0x1F == SUPPORTED_OPERATION_CODES


def _inquiry(data: bytearray, copies: bool) -> bytes:
    """Standard data without what reaches beyond the LUN."""
    if len(data) > 3:
        data[3] &= ~0x20  # NORMACA
    if len(data) > 5 and not copies:
        data[5] &= ~0x08  # 3PC
    if len(data) > 6:
        data[6] &= ~0x40  # ENCSERV
    return bytes(data)


def _protected(data: bytearray, place: int) -> bytes:
    if len(data) > place:
        data[place] |= 0x80  # WP
    return bytes(data)
