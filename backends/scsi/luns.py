"""The LUNs of one guest's virtual host: which logical unit is where, and who knows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pvdrivers.backends.device import QUIESCE_STEP
from pvdrivers.backends.scsi.host import HostConfig, ServeOptions
from pvdrivers.backends.scsi.units import Units
from pvdrivers.backends.targets.command import Nexus
from pvdrivers.backends.targets.direct_access import UnitNexus
from pvdrivers.backends.targets.served_unit import ServedUnit
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.keys import LunKeys

MAX_PORT = 0xFFFF  # relative port identifiers, of which 0 is none

# Seconds that the commands of a LUN that leaves have, and then once more to end when they are
# aborted. libxl waits 10 for both.
ABORT_AFTER = 4.0

log = logging.getLogger("pvdrivers.backends.scsi")


@dataclass(slots=True)
class Lun:
    """A LUN that is served. `units`: names of what is open for it, itself last. `nexus`: None
    between two connections."""

    keys: LunKeys
    address: ScsiAddress
    served: ServedUnit
    units: list[str]
    nexus: UnitNexus | None = None


class Luns:
    """Keeps the units of its LUNs open from `add` to `remove`, and has a nexus to each of them from
    `attach` to `detach`."""

    def __init__(self, units: Units, host: HostConfig, options: ServeOptions) -> None:
        self.options = options  # for LUNs that come
        self._host = host
        self.initiator = ""  # as units know this guest, the same over restarts
        self._units = units
        self._luns: dict[str, Lun] = {}  # by directory
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def names(self) -> list[str]:
        return list(self._luns)

    def __iter__(self) -> Iterator[Lun]:
        return iter(self._luns.values())

    def __contains__(self, name: str) -> bool:
        return name in self._luns

    def is_changed(self, keys: LunKeys) -> bool:
        """Whether the toolstack has put another LUN into the same directory."""
        known = self._luns[keys.name].keys
        return (known.p_dev, known.v_dev) != (keys.p_dev, keys.v_dev)

    async def add(self, keys: LunKeys) -> None:
        """UsageError: what the toolstack has written is no LUN. Or whatever opening raises."""
        address = keys.v_dev
        if not keys.p_dev or address is None:
            missing = "v-dev is no SCSI address" if keys.p_dev else "p-dev is missing"
            raise UsageError(f"{keys.name}: {missing}")
        for lun in self._luns.values():
            if lun.address[1:] == address[1:]:
                raise UsageError(f"{keys.name}: {lun.keys.name} is at {address} already")
        opened: list[str] = []
        try:
            served = await self._open(self.options, keys.p_dev, opened)
        except BaseException:
            await self._release(opened, for_good=False)
            raise
        self._luns[keys.name] = Lun(keys, address, served, opened)

    async def _open(self, options: ServeOptions, p_dev: str, opened: list[str]) -> ServedUnit:
        """Behind what it stands on; `opened` gets the names of all that is open then."""
        host, lower = self._host, options.below or options
        below = [
            (await self._open(lower, name, opened)).unit for name in options.stands_on(host, p_dev)
        ]
        served = await self._units.acquire(
            p_dev, lambda: options.open_unit(host, p_dev, *below), options.way(host, p_dev)
        )
        opened.append(p_dev)
        return served

    async def _release(self, opened: list[str], for_good: bool) -> None:
        for name in reversed(opened):
            await self._units.release(name, for_good)

    def attach(self) -> None:
        """Makes nexuses to LUNs that have none. OSError: there is no memory."""
        for lun in self:
            if lun.nexus is None:
                port = 1 + (lun.address.channel << 8 | lun.address.target) % MAX_PORT
                nexus = Nexus(self.initiator, port, self._luns_beside(lun.address))
                lun.nexus = lun.served.attach(nexus)
        self._tell_luns()

    @property
    def places(self) -> list[tuple[ScsiAddress, UnitNexus]]:
        """Where a queue finds them."""
        return [(lun.address, lun.nexus) for lun in self._luns.values() if lun.nexus]

    def take(self, name: str) -> Lun:
        """It is no longer one of them; `end` is due when no queue is to find it any more."""
        lun = self._luns.pop(name)
        self._tell_luns()
        return lun

    async def end(self, luns: Collection[Lun]) -> None:
        """Waits for their commands, and gives their units up. What has not ended after ABORT_AFTER
        is aborted. What cannot be aborted, and holds its unit as long as it lasts, holds up nobody
        who waits for this."""
        ending = {asyncio.create_task(self._end(lun)): lun for lun in luns}
        self._ending.update(ending)
        for task in ending:
            task.add_done_callback(self._ending.discard)
        _, late = await asyncio.wait(ending, timeout=ABORT_AFTER)
        if late:
            _abort(ending[task] for task in late)
            _, late = await asyncio.wait(late, timeout=ABORT_AFTER)
        for task, lun in ending.items():
            if task in late:
                log.error("%r: still busy, though its LUN %s is gone", lun.served, lun.address)
            else:
                task.result()

    @contextmanager
    def aborted_in_time(self) -> Iterator[None]:
        """Commands that are not over when this has lasted for ABORT_AFTER are aborted."""
        timer = asyncio.get_running_loop().call_later(ABORT_AFTER, _abort, self)
        try:
            yield
        finally:
            timer.cancel()

    async def _end(self, lun: Lun) -> None:
        await self._detach(lun, is_lost=True)
        await self._release(lun.units, for_good=True)

    async def detach(self, is_lost: bool) -> None:
        """There is no queue any more. Not `is_lost`: a successor goes on with the connection."""
        for lun in self._luns.values():
            await self._detach(lun, is_lost)

    async def close(self, for_good: bool) -> None:
        """Gives all units up; there is no nexus any more. Not `for_good`: the host is served by the
        next process."""
        await asyncio.gather(*self._ending)
        for name in self.names:
            await self._release(self._luns.pop(name).units, for_good)

    async def _detach(self, lun: Lun, is_lost: bool) -> None:
        if lun.nexus is None:
            return
        # Its last command ends on the queue's driver, which tells nobody: poll.
        while lun.nexus.is_used:  # noqa: ASYNC110
            await asyncio.sleep(QUIESCE_STEP)
        lun.served.detach(lun.nexus, is_lost)
        lun.nexus = None

    def _luns_beside(self, address: ScsiAddress) -> tuple[int, ...]:
        """All of the same channel and target."""
        same = (lun.address for lun in self if lun.address[:3] == address[:3])
        return tuple(sorted(address.lun for address in same))

    def _tell_luns(self) -> None:
        """Each initiator, which LUNs its target has now."""
        for lun in self:
            luns = self._luns_beside(lun.address)
            if lun.nexus and lun.nexus.nexus.luns != luns:
                lun.nexus.nexus.luns = luns
                lun.served.luns_changed(lun.nexus)


def _abort(luns: Iterable[Lun]) -> None:
    for lun in luns:
        if lun.nexus:
            lun.served.abort(lun.nexus)
