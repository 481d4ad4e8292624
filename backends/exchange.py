"""What a served device stands on, such as a disk's store or a vif's uplink: it is opened and closed
within a time, and exchanged while the device is in use."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from pvdrivers.backends.service import traceback_of
from pvdrivers.daemon_threads import Closable, in_daemon_thread
from pvdrivers.xenbus.device import XenbusDevice
from pvdrivers.xenbus.states import Event

log = logging.getLogger("pvdrivers.backends")

# Seconds; longer than a file store waits for operations of a process that has ended.
OPEN_TIMEOUT = 40.0
CLOSE_TIMEOUT = 10.0  # seconds


Options = TypeVar("Options")
Base = TypeVar("Base", bound=Closable)  # what a device stands on


async def open_in_time(opening: Awaitable[Base], what: str) -> Base:
    """What is opened. TimeoutError: it is not open after OPEN_TIMEOUT."""
    timeout = asyncio.timeout(OPEN_TIMEOUT)
    try:
        async with timeout:
            return await opening
    except TimeoutError:
        if not timeout.expired():
            raise
        reason = f"{what}: not open after {OPEN_TIMEOUT:.0f} seconds"
        raise TimeoutError(reason) from None


async def close_in_time(base: Closable) -> None:
    """Closes it in a thread, since what does not answer would block the loop."""
    await end_in_time(base.close, repr(base))


async def end_in_time(close: Callable[[], None], what: str) -> None:
    """The same for another way of closing."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await in_daemon_thread(close)
    except TimeoutError:
        log.error("%s: not closed after %.0f seconds", what, CLOSE_TIMEOUT)
    except OSError as error:
        log.error("%s: not closed: %s", what, error)


class Exchange(Generic[Options, Base]):
    """The options that a device goes over to, and what they open; the last asked for counts.

    Nothing waits for that, neither who asks nor the device, which can be unplugged meanwhile.
    """

    def __init__(self, device: XenbusDevice) -> None:
        self.options: Options | None = None  # what they open is being opened, or is
        self.base: Base | None = None
        self._device = device
        self._opening: asyncio.Task[None] | None = None

    async def begin(self, options: Options, opening: Awaitable[Base]) -> None:
        """The device gets the event EXCHANGE when it is open."""
        await self.drop()
        self.options = options
        name = f"open {self._device.path}"
        self._opening = asyncio.get_running_loop().create_task(self._open(opening), name=name)

    async def _open(self, opening: Awaitable[Base]) -> None:
        try:
            self.base = await opening
        except Exception as error:
            traceback = traceback_of(error)
            log.error("%s: stays as it is: %s", self._device.path, error, exc_info=traceback)
            self.options = None
        else:
            self._device.request(Event.EXCHANGE)

    async def drop(self) -> None:
        if self._opening:
            self._opening.cancel()
        base, self.base, self.options = self.base, None, None
        if base:
            await close_in_time(base)

    def take(self) -> tuple[Options, Base] | None:
        """What is open, which becomes the caller's."""
        if self.options is None or self.base is None:
            return None
        taken = self.options, self.base
        self.options = self.base = None
        return taken


class ServeOptions(Protocol):
    """How a device is served; options that are equal serve it alike."""

    @property
    def limits(self) -> Any:
        """What its backend calls `options`."""

    @property
    def opens(self) -> object:
        """By what it is opened; a device goes over to what another opens."""

    def changes(self, new: Any) -> str:
        """What differs in `new`, in words."""


AnyServeOptions = TypeVar("AnyServeOptions", bound=ServeOptions)


class Served(Generic[AnyServeOptions, Base], ABC):
    """The part of a backend that a service serves: it owns what it stands on, and can go on with
    another. Stands before the backend among a class's bases."""

    path: str
    options: Any
    log: logging.Logger
    serve_options: AnyServeOptions
    _next: Exchange[AnyServeOptions, Base]

    @property
    @abstractmethod
    def _base(self) -> Base:
        """What it stands on now."""

    @abstractmethod
    def _open(self, options: AnyServeOptions) -> Awaitable[Base]: ...

    @abstractmethod
    async def _replace(self, base: Base) -> Base:
        """Goes on with another one."""

    async def reload(self, options: AnyServeOptions) -> bool:
        """Applies `options`, with what they open as soon as it is open; false: nothing changes."""
        before = self._next.options or self.serve_options
        if options == before:
            return False
        self.log.info("%s: %s", self.path, before.changes(options))
        if options.opens == self.serve_options.opens:
            await self._next.drop()
            self._use(options)
        else:
            await self._next.begin(options, self._open(options))
        return True

    def _use(self, options: AnyServeOptions) -> None:
        self.serve_options, self.options = options, options.limits

    async def _use_next(self) -> None:
        """Goes over to what is open."""
        if (taken := self._next.take()) is None:
            return
        options, base = taken
        old = self._base
        self._use(options)
        try:
            await self._replace(base)
        finally:
            await close_in_time(old if self._base is base else base)


def changes(
    what: str,
    before: Callable[..., object],
    after: Callable[..., object],
    limits_before: msgspec.Struct,
    limits_after: msgspec.Struct,
) -> str:
    """In words, what differs between two ways of serving a device: what opens its `what`, and the
    limits."""
    found = []
    if before != after:
        names = (getattr(opens, "__qualname__", opens) for opens in (before, after))
        found.append(f"{what} {' -> '.join(map(str, names))}")
    for option in msgspec.structs.fields(limits_before):
        old, new = (getattr(limits, option.name) for limits in (limits_before, limits_after))
        if old != new:
            found.append(f"{option.name} {old} -> {new} from the next connection on")
    return ", ".join(found)
