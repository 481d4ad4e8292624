"""What the tests of pass-through share."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from pvdrivers.backends.targets.command import Answer, Command, Nexus
from pvdrivers.backends.targets.passthrough.unit import PassThrough
from pvdrivers.scsi.result import Status
from pvdrivers.scsi.sense import Sense

PATIENCE = 60.0  # seconds
_numbers = count(1)


class Initiator:
    """Gives commands to a unit on the running loop."""

    def __init__(self, unit: PassThrough, name: str = "xen-guest-0", **nexus: Any) -> None:
        self.unit = unit
        self.nexus = Nexus(name, **nexus)
        unit.attach(self.nexus)

    def begin(
        self, cdb: str | bytes, data: bytes = b"", room: int = 0, identity: bytes | None = None
    ) -> tuple[Command, asyncio.Future[Answer]]:
        cdb = bytes.fromhex(cdb) if isinstance(cdb, str) else cdb
        number = next(_numbers).to_bytes(16, "big") if identity is None else identity
        command = Command(self.nexus, cdb, data, room, number)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.unit.start(command, answer.set_result)
        return command, answer

    async def run(self, *arguments: Any, **keywords: Any) -> Answer:
        async with asyncio.timeout(PATIENCE):
            return await self.begin(*arguments, **keywords)[1]

    async def good(self, *arguments: Any, **keywords: Any) -> bytes:
        answer = await self.run(*arguments, **keywords)
        assert answer.status == Status.GOOD, (answer, Sense.parse(answer.sense))
        return bytes(answer.data)

    async def code(self, *arguments: Any, **keywords: Any) -> str:
        answer = await self.run(*arguments, **keywords)
        sense = Sense.parse(answer.sense)
        assert sense, answer
        return sense.code

    async def hear_attentions(self) -> list[str]:
        """TEST UNIT READY until there are no more."""
        told = []
        while (answer := await self.run(bytes(6))).status == Status.CHECK_CONDITION:
            sense = Sense.parse(answer.sense)
            assert sense
            told.append(sense.code)
            await asyncio.sleep(0.001)
        return told
