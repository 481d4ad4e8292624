"""All devices of one class that a backend domain serves: it watches their directory and keeps a
driver for each device.

    async with Service(VBD, client, hypervisor, lambda disk: ServeOptions()) as service:
        await service.ended()

What differs between classes is a `DeviceClass`. A failure of one device ends that device's
driver and nothing else, and so does a device that never answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

from pvdrivers.backends.device import Backend, DeviceContext, RefusedDevice
from pvdrivers.backends.inflight import InflightFile
from pvdrivers.backends.state_directory import StateDirectory
from pvdrivers.hypervisor import Hypervisor
from pvdrivers.poll.driver import PollDriver
from pvdrivers.poll.loop import LoopDriver
from pvdrivers.ring.errors import UsageError
from pvdrivers.xenbus.bus import backend_bus
from pvdrivers.xenbus.device import BackendDevice, XenbusDevice
from pvdrivers.xenstore.client import XenstoreClient
from pvdrivers.xenstore.errors import XenstoreError

log = logging.getLogger("pvdrivers.backends")

Config = TypeVar("Config")  # what the toolstack has written about a device, comparable
Options = TypeVar("Options")  # how this program serves it


@dataclass(frozen=True, slots=True)
class PluggedDevice:
    """What the toolstack has written about a device; a class adds its keys. `path` is the backend's
    directory."""

    path: str

    @property
    def domid(self) -> str:
        """The frontend's."""
        return self.path.split("/")[-2]

    @property
    def devid(self) -> str:
        return self.path.split("/")[-1]


@dataclass(frozen=True, slots=True)
class DeviceClass(Generic[Config, Options]):
    """What a service has to know of a device class."""

    kind: str  # as in backend/KIND; state files are called KIND-DOMID-DEVID
    read: Callable[[XenstoreClient, str], Awaitable[Config]]
    """Reads what the toolstack has written about the device at a path."""
    make: Callable[[DeviceContext, Config, Options], Awaitable[BackendDevice]]
    """Makes a device's driver, with all that this has to open first. What it raises ends up in the
    device's error node: of OSError and UsageError the message, of any other a traceback is logged.
    """


class Service(Generic[Config, Options]):
    """Serves all devices below /local/domain/<domid of `hypervisor`>/backend/KIND."""

    def __init__(
        self,
        device_class: DeviceClass[Config, Options],
        client: XenstoreClient,
        hypervisor: Hypervisor,
        options_for: Callable[[Config], Options | None],
        *,
        driver: PollDriver | None = None,
        state_directory: Path | None = None,
    ) -> None:
        """`options_for` says how each device is served; None: another backend serves it.
        `driver` drives the queues, for instance threads that outlive the service; None: the loop.

        `state_directory` keeps what this service's successors need to know of requests in flight.
        Services of other classes may share it. It is made, if necessary, when the service is
        entered (OSError: it cannot be made; UsageError: another user can open it, or another
        process uses it). Without one a successor takes up only connections on which the frontend
        waits for nothing.
        """
        self.device_class = device_class
        self.client = client
        self.hypervisor = hypervisor
        self.options_for = options_for
        self.driver = driver or LoopDriver()
        self.state_directory = state_directory
        self._bus = backend_bus(client, hypervisor.domid, device_class.kind, self._probe)
        self._configs: WeakKeyDictionary[BackendDevice, Config] = WeakKeyDictionary()
        self._state: StateDirectory | None = None
        self._held = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as held:
            if self.state_directory:
                state = StateDirectory(self.state_directory)
                self._state = await held.enter_async_context(state.hold(self.device_class.kind))
                await self._drop_stale(self._state)
            self._bus.start()
            self._held = held.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        async with self._held:
            await self.drain()

    async def _drop_stale(self, state: StateDirectory) -> None:
        """Removes what an earlier service knew of devices that are gone."""
        for name in state.names():
            kind, _, device = name.partition("-")
            if kind != self.device_class.kind:
                continue
            path = f"{self._bus.root}/{device.replace('-', '/')}/state"
            with suppress(OSError):  # xenstore is gone
                if await self.client.read_optional(path) is None:
                    InflightFile(state, name).clear()

    @property
    def devices(self) -> dict[str, XenbusDevice]:
        """The drivers that are there, by path."""
        return {path: d for path, d in self._bus.devices.items() if not d.is_gone}

    async def ended(self) -> None:
        """Returns, or raises why, when the service cannot go on: xenstore is gone."""
        await self._bus.ended()

    async def drain(self) -> None:
        """Takes no more requests, finishes those taken, and releases everything.

        Both ends stay Connected in xenstore: the next service of these devices takes them up as
        they are, and their frontends notice nothing but a pause.
        """
        await self._bus.abort()

    async def reload(self, options_for: Callable[[Config], Options | None]) -> None:
        """Serves devices by other options from now on, without their frontends noticing.

        Logs what changes, a line for each device. Returns when every device knows its new options;
        it does not wait for stores to be opened. Devices that could not be served are tried
        again.
        """
        self.options_for = options_for
        served = [device for device in self.devices.values() if isinstance(device, Backend)]
        changed = sum(await asyncio.gather(*map(self._reload, served)))
        again = [path for path, each in self.devices.items() if isinstance(each, RefusedDevice)]
        again += self._bus.probing
        for path in again:
            await self._bus.forget(path)
        await self._bus.look()
        log.info(
            "reload: %d %s devices change, %d stay as they are, %d are tried again",
            changed,
            self.device_class.kind,
            len(served) - changed,
            len(again),
        )

    async def _reload(self, device: Backend[Any, Any]) -> bool:
        try:
            options = self.options_for(self._configs[device])
        except Exception as error:
            what = "%s: stays as it is: %s"
            log.error(what, device.path, error, exc_info=traceback_of(error))
            return False
        if options is None:
            log.info("%s: is ignored from now on, but served until it is unplugged", device.path)
            return False
        return await device.reload(options)

    async def _probe(self, client: XenstoreClient, path: str) -> BackendDevice | None:
        config = await self.device_class.read(client, path)
        async with AsyncExitStack() as unused:
            device = await self._make(path, config)
            if device:
                unused.push_async_callback(device.removed)
            if await self.device_class.read(client, path) == config:
                unused.pop_all()
                return device
        return await self._probe(client, path)  # the toolstack has replaced the device meanwhile

    async def _make(self, path: str, config: Config) -> BackendDevice | None:
        try:
            options = self.options_for(config)
            if options is None:
                return None
            device = await self.device_class.make(self._context(path), config, options)
        except Exception as error:
            log.error("%s: cannot be served: %s", path, error, exc_info=traceback_of(error))
            return RefusedDevice(self.client, path, str(error))
        self._configs[device] = config
        return device

    def _context(self, path: str) -> DeviceContext:
        inflight = None
        if self._state:
            domid, devid = path.split("/")[-2:]
            inflight = InflightFile(self._state, f"{self.device_class.kind}-{domid}-{devid}")
        return DeviceContext(
            self.client, path, self.hypervisor, self.driver, inflight, is_successor=True
        )


def traceback_of(error: Exception) -> Exception | None:
    """For a log line's exc_info: None for an error whose message is complete."""
    expected = isinstance(error, OSError | UsageError) and not isinstance(error, XenstoreError)
    return None if expected else error
