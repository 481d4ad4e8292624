"""The LUNs that a SCSI frontend has, as they come and go.

The backend's directory says of each LUN where it is and how far the backend is with it; the
frontend answers each with a state of its own. Sources: io/vscsiif.h; what Linux' scsifront does.
"""

import asyncio
from collections.abc import Callable, Iterable

from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.keys import LunKeys
from pvdrivers.xenbus.states import XenbusState

_OFFERED = (XenbusState.INITIALISED, XenbusState.CONNECTED)


class LunTable:
    """`changed`: called when a LUN has come or gone."""

    def __init__(self) -> None:
        self.changed: Callable[[], None] | None = None
        self._addresses: dict[str, ScsiAddress] = {}  # of LUNs in use, by their directories' names
        self._news = asyncio.Condition()

    @property
    def addresses(self) -> list[ScsiAddress]:
        return sorted(self._addresses.values())

    async def connect(self, luns: Iterable[LunKeys]) -> dict[str, XenbusState]:
        """Begins anew with what a backend offers that has just connected. Returns the states to be
        published, by name, as `update` does."""
        before, self._addresses = self._addresses, {}
        states = self._take(luns, _OFFERED)
        await self._tell(before)
        return states

    async def update(self, luns: Iterable[LunKeys]) -> dict[str, XenbusState]:
        """What a reconfiguration changes: LUNs that the backend has set up come, those that it
        wants to let go of, or that have vanished, go."""
        listed = list(luns)
        before = dict(self._addresses)
        kept = {lun.name for lun in listed if lun.state in _OFFERED}
        self._addresses = {name: at for name, at in before.items() if name in kept}
        states = {
            lun.name: XenbusState.CLOSED for lun in listed if lun.state is XenbusState.CLOSING
        }
        states |= self._take(listed, (XenbusState.INITIALISED,))
        await self._tell(before)
        return states

    async def clear(self) -> None:
        await self.connect(())

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Until it holds; looked at whenever a LUN has come or gone."""
        async with self._news:
            await self._news.wait_for(condition)

    def _take(
        self, luns: Iterable[LunKeys], offered: tuple[XenbusState, ...]
    ) -> dict[str, XenbusState]:
        states = {}
        for lun in luns:
            if lun.state not in offered:
                continue
            known = {at[1:] for name, at in self._addresses.items() if name != lun.name}
            if lun.v_dev is None or lun.v_dev[1:] in known:  # nowhere, or where another one is
                states[lun.name] = XenbusState.CLOSED
            else:
                self._addresses[lun.name] = lun.v_dev
                states[lun.name] = XenbusState.CONNECTED
        return states

    async def _tell(self, before: dict[str, ScsiAddress]) -> None:
        async with self._news:
            self._news.notify_all()
        if self._addresses != before and self.changed:
            self.changed()
