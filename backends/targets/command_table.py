"""Commands by opcode and service action."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from pvdrivers.backends.targets.command import INVALID_OPCODE, illegal_request, invalid_field
from pvdrivers.scsi.sense import Field


class Coded(Protocol):
    @property
    def opcode(self) -> int: ...

    @property
    def service_action(self) -> int | None: ...


C = TypeVar("C", bound=Coded)


class CommandTable(Generic[C]):
    """Of a device type or a unit. Of several with the same codes the last counts."""

    def __init__(self, commands: Iterable[C]) -> None:
        self._by_opcode: dict[int, dict[int | None, C]] = {}
        for found in commands:
            self._by_opcode.setdefault(found.opcode, {})[found.service_action] = found

    def find(self, cdb: bytes) -> C:
        """CheckCondition: there is none."""
        if not cdb or cdb[0] not in self._by_opcode:
            raise illegal_request(INVALID_OPCODE, Field(0))
        actions = self._by_opcode[cdb[0]]
        if None in actions:
            return actions[None]
        place, mask = service_action_place(cdb[0])
        found = actions.get(cdb[place] & mask) if len(cdb) > place else None
        if found is None:
            raise invalid_field(place)
        return found

    def lookup(self, opcode: int, service_action: int | None) -> C | None:
        return self._by_opcode.get(opcode, {}).get(service_action)

    def has_service_actions(self, opcode: int) -> bool:
        return opcode in self._by_opcode and None not in self._by_opcode[opcode]

    def service_actions(self, opcode: int) -> list[int]:
        return sorted(key for key in self._by_opcode.get(opcode, {}) if key is not None)

    def __iter__(self) -> Iterator[C]:
        """In the order of opcode and service action."""
        for opcode in sorted(self._by_opcode):
            actions = self._by_opcode[opcode]
            yield from (actions[key] for key in sorted(actions, key=lambda action: action or 0))


def service_action_place(opcode: int) -> tuple[int, int]:
    """The byte, and the mask, where a CDB has its service action."""
    return (8, 0xFF) if opcode == 0x7F else (1, 0x1F)
