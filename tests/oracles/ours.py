"""The same cases on our disk, from two guests through their PV rings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from case import BLOCKS, Case
from outcome import Outcome, outcome

from pvdrivers.tools.pvbridge.guests import MachineGuests
from pvdrivers.tools.pvbridge.luns import LunSpec

TEST_UNIT_READY = bytes(6)


def ask(cases: Sequence[Case]) -> dict[str, Outcome]:
    return asyncio.run(_ask(cases))


async def _ask(cases: Sequence[Case]) -> dict[str, Outcome]:
    found = {}
    async with MachineGuests([LunSpec.parse(f"0=ram:{BLOCKS * 512}")]) as guests:
        initiators = [await guests.join(f"iqn.2012-04.org.example:{name}") for name in "12"]
        for initiator in initiators:
            await initiator.execute(0, TEST_UNIT_READY, b"", 0)
        for case in cases:
            initiator = initiators[case.initiator - 1]
            result = await initiator.execute(0, case.cdb, case.data, case.room)
            assert result.host == 0, case.name
            found[case.name] = outcome(result.status, result.sense, bytes(result.data))
    return found
