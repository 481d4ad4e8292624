"""LOG SENSE over log pages (SPC-4 6.8, 7.3)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from pvdrivers.backends.targets.command import Command, invalid_field
from pvdrivers.backends.targets.emulated_unit import EmulatedUnit
from pvdrivers.backends.targets.operations import Access, operation

_SUPPORTED_PAGES, _SUPPORTED_SUBPAGES = (0x00, 0x00), (0x00, 0xFF)
_INFORMATIONAL_EXCEPTIONS = 0x2F
# No additional sense code; the temperature, and what programs take for its threshold, is unknown.
_NO_EXCEPTION = bytes((0, 0, 0xFF, 0xFF))


class LogParameter(NamedTuple):
    code: int
    value: bytes
    control: int = 0x03  # FORMAT AND LINKING: a list, in binary

    def encode(self) -> bytes:
        return struct.pack(">HBB", self.code, self.control, len(self.value)) + self.value


LogPages = dict[int, Callable[[], list[LogParameter]]]


class Log(EmulatedUnit):
    def log_pages(self) -> LogPages:
        """What makes the parameters of each page, in the order of their codes; subclasses add
        theirs."""
        return {_INFORMATIONAL_EXCEPTIONS: lambda: [LogParameter(0, _NO_EXCEPTION)]}

    @operation(0x4D, "LOG SENSE", "4d 00 ff ff 00 ff ff ff ff 00", access=Access.NONE)
    def log_sense(self, command: Command) -> bytes:
        """PC is ignored, as it is for lists."""
        code, subcode = command.cdb[2] & 0x3F, command.cdb[3]
        pages = self.log_pages()
        if (code, subcode) == _SUPPORTED_PAGES:
            data = bytes((0, *sorted(pages)))
        elif (code, subcode) == _SUPPORTED_SUBPAGES:
            listed = sorted((_SUPPORTED_PAGES, _SUPPORTED_SUBPAGES, *((page, 0) for page in pages)))
            data = b"".join(map(bytes, listed))
        elif code not in pages:
            raise invalid_field(2, 5)
        elif subcode:
            raise invalid_field(3)
        else:
            data = _from(command.number(5, 2), pages[code]())
        head = struct.pack(">BBH", code | (0x40 if subcode else 0), subcode, len(data))
        return (head + data)[: command.number(7, 2)]


def _from(pointer: int, parameters: list[LogParameter]) -> bytes:
    """The parameters whose codes are not below the CDB's parameter pointer."""
    chosen = [parameter for parameter in parameters if parameter.code >= pointer]
    if not chosen:
        raise invalid_field(5)
    return b"".join(map(LogParameter.encode, chosen))
