"""What a unit can do, from its table of operations: REPORT SUPPORTED OPERATION CODES and REPORT
SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.35, 6.36)."""

from __future__ import annotations

import struct

from pvdrivers.backends.targets.command import Command, invalid_field
from pvdrivers.backends.targets.emulated_unit import EmulatedUnit
from pvdrivers.backends.targets.operations import Access, Operation, operation

_ALL, _OPCODE, _SERVICE_ACTION, _EITHER = range(4)  # REPORTING OPTIONS
_NOT_SUPPORTED, _SUPPORTED = 0x1, 0x3
_NO_TIMEOUTS = struct.pack(">HxxII", 10, 0, 0)  # a descriptor that names none
_ABORT_TASK, _LOGICAL_UNIT_RESET = 0x80, 0x08


class OperationCodes(EmulatedUnit):
    @operation(
        0xA3,
        "REPORT SUPPORTED OPERATION CODES",
        "a3 0c 87 ff ff ff ff ff ff ff 00 00",
        service_action=0x0C,
        access=Access.READ,
    )
    def report_supported_operation_codes(self, command: Command) -> bytes:
        options, timeouts = command.cdb[2] & 0x07, bool(command.cdb[2] & 0x80)
        opcode, action = command.cdb[3], command.number(4, 2)
        if options == _ALL:
            data = self._all(timeouts)
        elif options <= _EITHER:
            data = _one(self._asked_for(options, opcode, action), timeouts)
        else:
            raise invalid_field(2, 2)
        return data[: command.number(6, 4)]

    def _all(self, timeouts: bool) -> bytes:
        data = b"".join(_listed(found, timeouts) for found in self.operations)
        return struct.pack(">I", len(data)) + data

    def _asked_for(self, options: int, opcode: int, action: int) -> Operation | None:
        has_actions = self.operations.has_service_actions(opcode)
        plain = self.operations.lookup(opcode, None)
        if (options == _OPCODE and has_actions) or (options == _SERVICE_ACTION and plain):
            raise invalid_field(2, 2)
        if options == _OPCODE or (options == _EITHER and plain):
            return plain if options == _OPCODE or action == 0 else None
        return self.operations.lookup(opcode, action)

    @operation(
        0xA3,
        "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
        "a3 0d 80 00 00 00 ff ff ff ff 00 00",
        service_action=0x0D,
        access=Access.READ,
    )
    def report_supported_task_management_functions(self, command: Command) -> bytes:
        """Those that a PV-SCSI ring has: ABORT and RESET."""
        data = bytes((_ABORT_TASK | _LOGICAL_UNIT_RESET, 0, 0, 0))
        if command.cdb[2] & 0x80:  # REPD
            data = data[:3] + b"\x0c" + bytes(12)
        return data[: command.number(6, 4)]


def _listed(found: Operation, timeouts: bool) -> bytes:
    has_action = found.service_action is not None
    flags = int(has_action) | (0x02 if timeouts else 0)
    action = found.service_action or 0
    entry = struct.pack(">BxHxBH", found.opcode, action, flags, len(found.usage))
    return entry + (_NO_TIMEOUTS if timeouts else b"")


def _one(found: Operation | None, timeouts: bool) -> bytes:
    if found is None:
        return struct.pack(">BBH", 0, _NOT_SUPPORTED, 0)
    flags = _SUPPORTED | (0x80 if timeouts else 0)
    data = struct.pack(">BBH", 0, flags, len(found.usage)) + found.usage
    return data + (_NO_TIMEOUTS if timeouts else b"")
