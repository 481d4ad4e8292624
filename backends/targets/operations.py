"""Commands as methods: opcode, service action and CDB usage stand where the method does.

class Lamp(EmulatedUnit):
    @operation(0x1B, "START STOP UNIT", "1b 01 00 0f f7 04")
    def start_stop_unit(self, command): ...

The usage has a bit set where the CDB may have one, as REPORT SUPPORTED OPERATION CODES shows it
(SPC-4 6.30.3); the opcode is in its first byte, a service action in its own place. From it follow
the CDB's length, what is reserved, and that report.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Self

from pvdrivers.backends.targets.command import (
    INVALID_FIELD_IN_CDB,
    illegal_request,
    invalid_field,
)
from pvdrivers.backends.targets.command_table import CommandTable


class Access(Enum):
    """What a command does that another initiator's reservation may forbid (SPC-4 5.13.1)."""

    NONE = auto()  # allowed to everybody at all times
    READ = auto()
    WRITE = auto()  # or what changes the unit in other ways


class Needs(Enum):
    """What the unit has to be for it."""

    NOTHING = auto()
    READY = auto()
    WRITABLE = auto()  # and ready


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    opcode: int
    service_action: int | None
    usage: bytes
    access: Access
    harmless: tuple[int, int, int] | None  # see `operation`
    needs: Needs
    despite_attention: bool  # is carried out with a unit attention pending, which stays pending
    excludes_direct_access: bool  # see LogicalUnit
    is_query: bool  # see LogicalUnit
    method: str

    def check(self, cdb: bytes) -> None:
        """CheckCondition: it is too short, or has a bit set that is reserved. Bytes beyond its
        length are ignored, since initiators send 16."""
        if len(cdb) < len(self.usage):
            raise illegal_request(INVALID_FIELD_IN_CDB)
        for place in range(1, len(self.usage)):
            if wrong := cdb[place] & ~self.usage[place]:
                raise invalid_field(place, wrong.bit_length() - 1)

    def access_of(self, cdb: bytes) -> Access:
        """What this CDB does."""
        if self.harmless:
            place, mask, value = self.harmless
            if cdb[place] & mask == value:
                return Access.NONE
        return self.access


Method = Callable[..., Any]


def operation(
    opcode: int,
    name: str,
    usage: str,
    *,
    service_action: int | None = None,
    access: Access = Access.WRITE,
    harmless: tuple[int, int, int] | None = None,
    needs: Needs = Needs.NOTHING,
    despite_attention: bool = False,
    excludes_direct_access: bool = False,
    is_query: bool = False,
) -> Callable[[Method], Method]:
    """Marks the method that carries a command out. It takes the Command, and returns the data for
    the initiator or None, or an Answer; what ends otherwise raises CommandError. A method may have
    several marks.

    `harmless`: byte, mask and value of CDBs that are allowed to everybody at all times."""
    mask = bytes.fromhex(usage)
    if mask[0] != opcode:
        raise ValueError(f"{name}: usage begins with {mask[0]:02x} instead of {opcode:02x}")

    def mark(method: Method) -> Method:
        found = Operation(
            name,
            opcode,
            service_action,
            mask,
            access,
            harmless,
            needs,
            despite_attention,
            excludes_direct_access,
            is_query,
            method.__name__,
        )
        method.__dict__.setdefault("operations", []).append(found)
        return method

    return mark


class OperationTable(CommandTable[Operation]):
    """The operations of a class of units, or of one unit that lacks some."""

    @classmethod
    def of(cls, unit: type) -> Self:
        """Those that the methods of a class are marked with; a subclass's count most."""
        return cls(_marked(unit))

    def without(self, names: Collection[str]) -> Self:
        return type(self)(found for found in self if found.name not in names)


def _marked(unit: type) -> Iterator[Operation]:
    for base in reversed(unit.__mro__):
        for member in vars(base).values():
            yield from getattr(member, "operations", ())
