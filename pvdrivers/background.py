"""Work that goes on beside what needs it, and ends with that."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any


async def end_task(task: "asyncio.Future[Any]") -> None:
    """Cancels it, and returns when it has ended, however."""
    task.cancel()
    await asyncio.wait([task])


@asynccontextmanager
async def in_background(work: Awaitable[Any]) -> AsyncIterator[None]:
    """Goes on while the block runs."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        await end_task(task)
