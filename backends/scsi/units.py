"""The logical units of a service, by name: one that several guests see is there once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from itertools import product

from pvdrivers.backends.exchange import close_in_time, end_in_time, open_in_time
from pvdrivers.backends.inflight import InflightFile
from pvdrivers.backends.state_directory import StateDirectory
from pvdrivers.backends.targets.command import Nexus
from pvdrivers.backends.targets.disk.third_party_copy import ThirdPartyCopy
from pvdrivers.backends.targets.journal import Journal
from pvdrivers.backends.targets.logical_unit import LogicalUnit
from pvdrivers.backends.targets.served_unit import ServedUnit
from pvdrivers.ring.errors import UsageError

JOURNAL = "unit-"  # what the names of their journals begin with


class _Shared:
    def __init__(self, name: str) -> None:
        self.name = name
        self.users = 0
        self.lock = asyncio.Lock()  # while it is opened or closed
        self.served: ServedUnit | None = None
        self.way: object = None  # in which it was opened


class Units:
    """Opens a unit for its first user, and closes it with the last.

    A unit's journal stays for the process that comes after this one. It ends when the last user
    gives the unit up for good, as if the device had lost its power.
    """

    def __init__(self, state_directory: Callable[[], StateDirectory | None] = lambda: None) -> None:
        """`state_directory`: where journals are, once a unit is opened; None: in memory."""
        self._state_directory = state_directory
        self._shared: dict[str, _Shared] = {}

    async def acquire(
        self, name: str, opening: Callable[[], Awaitable[LogicalUnit]], way: object = None
    ) -> ServedUnit:
        """UsageError: it is open, and not in this way, or another unit has one of its files.
        TimeoutError: it is not open in time. What `opening` raises, otherwise."""
        shared = self._shared.setdefault(name, _Shared(name))
        shared.users += 1
        try:
            async with shared.lock:
                if shared.served is None:
                    unit = await open_in_time(opening(), name)
                    await self._check_files(name, unit)
                    if isinstance(unit, ThirdPartyCopy) and unit.find_copy_target is None:
                        unit.find_copy_target = self.copy_target
                    shared.served = await _serve(unit, self._journal_file(name))
                    shared.way = way
                elif shared.way != way:
                    raise UsageError(f"{name} is open as {shared.way}, and cannot be {way} as well")
                return shared.served
        except BaseException:
            await self._drop(shared, for_good=False)
            raise

    async def release(self, name: str, for_good: bool = True) -> None:
        """Not `for_good`: the user goes on with the unit in the next process."""
        await self._drop(self._shared[name], for_good)

    async def _drop(self, shared: _Shared, for_good: bool) -> None:
        shared.users -= 1
        async with shared.lock:
            if shared.users == 0 and shared.served:
                served, shared.served = shared.served, None
                await _close(served)
                if for_good and (file := self._journal_file(shared.name)):
                    file.clear()
        if shared.users == 0:
            self._shared.pop(shared.name, None)

    async def _check_files(self, name: str, unit: LogicalUnit) -> None:
        """Two units on one file know nothing of each other's reservations and caches."""
        for other, path in product(self._shared.values(), unit.files):
            files = other.served.unit.files if other.served else {}
            if path in files and (files[path] or unit.files[path]):
                await close_in_time(unit)
                raise UsageError(
                    f"{name}: {path} is in use by {other.name}; hosts that are to share it name the"
                    " same p-dev"
                )

    def copy_target(self, nexus: Nexus, naa: int) -> ThirdPartyCopy | None:
        """The disk of that NAA, if this initiator has it as a LUN too. From any thread."""
        for shared in list(self._shared.values()):
            unit = shared.served.unit if shared.served else None
            if (
                isinstance(unit, ThirdPartyCopy)
                and unit.identity.naa == naa
                and any(one.name == nexus.name for one in unit.nexuses)
            ):
                return unit
        return None

    @property
    def names(self) -> list[str]:
        """Of those that are open."""
        return [name for name, shared in self._shared.items() if shared.served]

    def _journal_file(self, name: str) -> InflightFile | None:
        folder = self._state_directory()
        return InflightFile(folder, journal_name(name)) if folder else None


def journal_name(name: str) -> str:
    """Of the file in the state directory for a unit of this name."""
    return JOURNAL + sha256(name.encode()).hexdigest()[:32]


async def _serve(unit: LogicalUnit, file: InflightFile | None) -> ServedUnit:
    served = ServedUnit(unit)
    try:
        if unit.journal_room:
            unit.take_up(Journal.open(file, unit.journal_room))
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
