"""The logical units of a service, by name: one that several guests see is there once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pvdrivers.backends.exchange import end_in_time, open_in_time
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.backends.targets.served_unit import ServedUnit
from pvdrivers.ring.errors import UsageError


class _Shared:
    def __init__(self, name: str) -> None:
        self.name = name
        self.users = 0
        self.lock = asyncio.Lock()  # while it is opened or closed
        self.served: ServedUnit | None = None
        self.way: object = None  # in which it was opened


class Units:
    """Opens a unit for its first user, and closes it with the last."""

    def __init__(self) -> None:
        self._shared: dict[str, _Shared] = {}

    async def acquire(
        self, name: str, opening: Callable[[], Awaitable[LogicalUnit]], way: object = None
    ) -> ServedUnit:
        """UsageError: it is open, and not in this way. TimeoutError: it is not open in time. What
        `opening` raises, otherwise."""
        shared = self._shared.setdefault(name, _Shared(name))
        shared.users += 1
        try:
            async with shared.lock:
                if shared.served is None:
                    shared.served = await _serve(await open_in_time(opening(), name))
                    shared.way = way
                elif shared.way != way:
                    raise UsageError(f"{name} is open as {shared.way}, and cannot be {way} as well")
                return shared.served
        except BaseException:
            await self._drop(shared)
            raise

    async def release(self, name: str) -> None:
        await self._drop(self._shared[name])

    async def _drop(self, shared: _Shared) -> None:
        shared.users -= 1
        async with shared.lock:
            if shared.users == 0 and shared.served:
                served, shared.served = shared.served, None
                await _close(served)
        if shared.users == 0:
            self._shared.pop(shared.name, None)

    @property
    def names(self) -> list[str]:
        """Of those that are open."""
        return [name for name, shared in self._shared.items() if shared.served]


async def _serve(unit: LogicalUnit) -> ServedUnit:
    served = ServedUnit(unit)
    try:
        served.start()
    except BaseException:
        await _close(served)
        raise
    return served


async def _close(served: ServedUnit) -> None:
    if served.unit.may_block:
        await end_in_time(served.close, repr(served))
    else:
        served.close()
