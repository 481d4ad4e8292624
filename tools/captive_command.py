"""A command that a serving program runs, and for as long as which it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pvdrivers.ring.errors import UsageError


async def run_captive(
    command: Sequence[str], environment: Mapping[str, str], stop: asyncio.Event
) -> int:
    """The command's exit status, as a shell gives it; it is terminated once `stop` is set.

    UsageError: there is no such command.
    """
    try:
        process = await asyncio.create_subprocess_exec(*command, env=environment)
    except OSError as error:
        raise UsageError(f"{command[0]} cannot be run: {error.strerror}") from error
    ended = asyncio.ensure_future(process.wait())
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not ended.done():
        process.terminate()
    status = await ended
    return status if status >= 0 else 128 - status
