"""Guests of an iSCSI target whose commands go to logical units without a ring between."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pvdrivers.backends.targets.command import Command, Nexus
from pvdrivers.backends.targets.emulated_unit import EmulatedUnit
from pvdrivers.frontends.scsi.command import CommandResult

BLOCK = 512


@dataclass
class DirectCommand:
    """What `submit` gives."""

    done: asyncio.Task[CommandResult]

    @property
    def result(self) -> CommandResult:
        return self.done.result()


@dataclass
class DirectInitiator:
    """Gives commands to `units`, which are by LUN; their blocks have `BLOCK` bytes."""

    units: Mapping[int, EmulatedUnit]
    nexus: Nexus
    max_transfer: int = 1 << 20
    hang: asyncio.Event | None = None  # commands wait for it
    aborted: int = 0
    frontend: None = None  # there is no ring

    @property
    def luns(self) -> Sequence[int]:
        return sorted(self.units)

    def block_size(self, lun: int) -> int:
        return BLOCK

    def submit(
        self, lun: int, cdb: bytes, data_out: bytes | memoryview, room: int
    ) -> DirectCommand:
        execution = self.execute(lun, cdb, data_out, room)
        return DirectCommand(asyncio.get_running_loop().create_task(execution))

    async def abort(self, running: DirectCommand) -> None:
        running.done.cancel()
        await asyncio.wait([running.done])

    async def execute(
        self, lun: int, cdb: bytes, data_out: bytes | memoryview, room: int
    ) -> CommandResult:
        try:  # what comes meanwhile, such as an abort, is seen
            await (self.hang.wait() if self.hang else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        answer = self.units[lun].execute(Command(self.nexus, cdb, data_out, room))
        data = bytes(answer.data[:room])
        moved = len(data) if room else len(data_out) - answer.unused
        residual = (room or len(data_out)) - moved
        return CommandResult(answer.status, answer.host, answer.sense, data, residual)

    async def reset(self, lun: int) -> bool:
        self.units[lun].reset(self.nexus)
        return True


@dataclass
class DirectGuests:
    """All of them share the `units`."""

    units: Mapping[int, EmulatedUnit]
    joined: dict[str, DirectInitiator] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    async def join(self, name: str) -> DirectInitiator:
        if name not in self.joined:
            nexus = Nexus(name, luns=tuple(sorted(self.units)))
            self.joined[name] = DirectInitiator(self.units, nexus)
            for unit in self.units.values():
                unit.attach(nexus)
        return self.joined[name]

    async def leave(self, name: str) -> None:
        self.left.append(name)
        nexus = self.joined.pop(name).nexus
        for unit in self.units.values():
            unit.detach(nexus)
