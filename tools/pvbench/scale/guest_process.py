"""The guests' process: frontends of one device class, connected together."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from pvdrivers.hypervisor import Hypervisor
from pvdrivers.sim.machine import Machine
from pvdrivers.tools.pvbench.job.xenstore import Loop
from pvdrivers.tools.pvbench.scale.spec import Activity, ScaleSpec
from pvdrivers.xenstore.client import XenstoreClient

RAMP_NS = 100_000_000


class Guest(Protocol):
    """One domain with its devices."""

    async def connect(self) -> None: ...

    async def close(self) -> None: ...


AnyGuest = TypeVar("AnyGuest", bound=Guest)


class GuestProcess(Generic[AnyGuest], ABC):
    """All guests, in the order in which they came; the first ones are those that may be active."""

    def __init__(self, machine: Machine, xenstore: str, spec: ScaleSpec) -> None:
        self._machine, self._xenstore, self._spec = machine, xenstore, spec
        self._loop = Loop()
        self._guests: list[AnyGuest] = []

    @abstractmethod
    def _guest(self, hypervisor: Hypervisor, client: XenstoreClient) -> AnyGuest: ...

    @abstractmethod
    def run(self, active: int, seconds: float, size: int) -> Activity:
        """I/O of `size` bytes each by the first `active` guests."""

    def connect(self, domids: Sequence[int]) -> None:
        """Brings the devices of these domains to Connected, all at once."""
        self._loop.call(self._connect(domids))

    async def _connect(self, domids: Sequence[int]) -> None:
        guests = [await self._open(domid) for domid in domids]
        self._guests += guests
        await asyncio.gather(*(guest.connect() for guest in guests))

    async def _open(self, domid: int) -> AnyGuest:
        hypervisor = self._machine.open_hypervisor(domid)
        return self._guest(hypervisor, await XenstoreClient.connect(self._xenstore))

    def close(self) -> None:
        self._loop.call(self._close())
        self._loop.close()

    async def _close(self) -> None:
        for guest in self._guests:
            await guest.close()
        await asyncio.sleep(0)  # transports close on the loop
