"""A device class of a few lines: a frontend posts numbers on a page, the backend doubles them.

The page holds, as 32-bit words: how many numbers are posted, how many are answered, then the slots.
"""

import asyncio
import contextlib
from pathlib import Path

from pvdrivers.backends.device import DeviceContext
from pvdrivers.backends.service import DeviceClass, Service
from pvdrivers.hypervisor import EventChannel, Hypervisor
from pvdrivers.testing.device_under_test import DeviceUnderTest
from pvdrivers.toolstack.devices import DeviceConfig
from pvdrivers.xenbus.device import BackendDevice, FrontendDevice
from pvdrivers.xenbus.states import XenbusState
from pvdrivers.xenstore.client import XenstoreClient

SLOTS = 8
POSTED, ANSWERED, FIRST_SLOT = 0, 1, 2
KEYS = ("page-ref", "event-channel")


def doubler_config(domid: int) -> DeviceConfig:
    return DeviceConfig("doubler", 0, domid)


class DoublerFrontend(FrontendDevice):
    def __init__(self, client: XenstoreClient, path: str, hypervisor: Hypervisor) -> None:
        super().__init__(client, path)
        self.hypervisor = hypervisor
        self._answered = asyncio.Event()

    async def connect(self) -> None:
        self.page = self.hypervisor.allocate_pages(1)
        self.words = self.page.view.cast("I")
        (self.ref,) = self.hypervisor.grant_pages(self.peer_domid, self.page)
        channels = self.hypervisor.open_event_channels()
        self.channel = EventChannel(channels, channels.bind_unbound_port(self.peer_domid))
        asyncio.get_running_loop().add_reader(self.channel.fileno(), self._wake_up)
        values = str(self.ref), str(self.channel.port)
        await self.write_keys(dict(zip(KEYS, values, strict=True)))

    async def disconnect(self) -> None:
        asyncio.get_running_loop().remove_reader(self.channel.fileno())
        self.channel.close()
        self.words.release()
        self.hypervisor.end_access(self.ref)
        self.hypervisor.free_pages(self.page)

    def _wake_up(self) -> None:
        self.channel.acknowledge()
        self._answered.set()

    async def double(self, number: int) -> int:
        """One at a time. The page is kept while a successor takes the connection up."""
        posted = self.words[POSTED]
        slot = FIRST_SLOT + posted % SLOTS
        self.words[slot] = number
        self.words[POSTED] = posted + 1
        while self.words[ANSWERED] != posted + 1:
            self._answered.clear()
            with contextlib.suppress(OSError):  # EINVAL: the port is not bound just now
                self.channel.notify()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), 0.05)
        return self.words[slot]


class DoublerBackend(BackendDevice):
    def __init__(self, context: DeviceContext) -> None:
        super().__init__(context.client, context.path)
        self.hypervisor = context.hypervisor

    async def inherit(self) -> bool:
        return True  # all there is to know is on the page

    async def connect(self) -> None:
        keys = await self.read_peer_keys(KEYS)
        ref, port = (int(keys[name]) for name in KEYS)
        self.page = self.hypervisor.map_grants(self.peer_domid, [ref])
        self.words = self.page.view.cast("I")
        channels = self.hypervisor.open_event_channels()
        self.channel = EventChannel(channels, channels.bind_interdomain(self.peer_domid, port))
        asyncio.get_running_loop().add_reader(self.channel.fileno(), self._answer)
        self._answer()

    async def disconnect(self) -> None:
        asyncio.get_running_loop().remove_reader(self.channel.fileno())
        self.channel.close()
        self.words.release()
        self.hypervisor.unmap_grants(self.page)

    def _answer(self) -> None:
        self.channel.acknowledge()
        posted = self.words[POSTED]
        while self.words[ANSWERED] != posted:
            slot = FIRST_SLOT + self.words[ANSWERED] % SLOTS
            self.words[slot] = 2 * self.words[slot]
            self.words[ANSWERED] += 1
        self.channel.notify()


async def read_config(client: XenstoreClient, path: str) -> None:
    """The toolstack has nothing to say."""


async def make(context: DeviceContext, config: None, options: bool) -> DoublerBackend:
    return DoublerBackend(context)


def serve_doublers(
    client: XenstoreClient, hypervisor: Hypervisor, state_directory: Path | None
) -> Service[None, bool]:
    return Service(DOUBLERS, client, hypervisor, lambda _: True, state_directory=state_directory)


DOUBLERS = DeviceClass("doubler", read_config, make)
DOUBLER = DeviceUnderTest(doubler_config, DoublerFrontend, serve_doublers)


async def double_some(frontend: DoublerFrontend) -> None:
    await frontend.wait_for(XenbusState.CONNECTED)
    for number in range(2 * SLOTS + 1):
        assert await frontend.double(number) == 2 * number
