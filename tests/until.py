"""Waiting for what nothing tells of: another thread's doing, or a process's."""

import asyncio
from collections.abc import Callable

PATIENCE = 120.0  # seconds


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
