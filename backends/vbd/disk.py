"""A virtual disk as the toolstack describes it, and how it is served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from pvdrivers.backends.exchange import changes, open_in_time
from pvdrivers.backends.service import PluggedDevice
from pvdrivers.backends.stores.store import BlockStore, FileStore, NullStore, RamStore
from pvdrivers.backends.vbd.device import VbdBackendOptions
from pvdrivers.daemon_threads import open_in_daemon_thread
from pvdrivers.ring.errors import UsageError
from pvdrivers.xenstore.client import XenstoreClient

DISK_KEYS = ("params", "type", "mode", "dev")
MEMORY_STORES: dict[str, Callable[[int], BlockStore]] = {
    "ram": RamStore,
    "null": NullStore,
}  # params: bytes
PREFIXES = ("aio:", "raw:", "file:", "phy:")  # how toolstacks say that there is no image format


@dataclass(frozen=True, slots=True)
class DiskConfig(PluggedDevice):
    """What the toolstack has written about a disk; `path` is the backend's directory."""

    params: str = ""
    kind: str = ""  # the key `type`
    name: str = ""  # the key `dev`: xvda
    writable: bool = True

    @property
    def file(self) -> str:
        """The path in `params`. UsageError: there is none, or an image format before it."""
        text = self.params
        for prefix in PREFIXES:
            text = text.removeprefix(prefix)
        if not text.startswith("/"):
            raise UsageError(f"params {self.params!r} of type {self.kind!r} is not a file's path")
        return text


async def read_disk(client: XenstoreClient, path: str) -> DiskConfig:
    keys = await client.read_keys(path, DISK_KEYS)
    return DiskConfig(
        path,
        keys.get("params", ""),
        keys.get("type", ""),
        keys.get("dev", ""),
        keys.get("mode", "w").startswith("w"),
    )


def make_store(disk: DiskConfig) -> BlockStore:
    """A file or block device at `params`; types ram and null have their size there instead.
    May block as long as the file's server does."""
    if memory := MEMORY_STORES.get(disk.kind):
        if not disk.params.isdecimal():
            raise UsageError(f"params {disk.params!r} of type {disk.kind} is not a size in bytes")
        return memory(int(disk.params))
    return FileStore(disk.file, read_only=not disk.writable)


async def open_disk(disk: DiskConfig) -> BlockStore:
    if disk.kind in MEMORY_STORES:  # opening it cannot block: no thread is needed
        return make_store(disk)
    return await open_in_daemon_thread(partial(make_store, disk))


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a disk is served. `open_store` must not block the loop (`open_in_daemon_thread` helps);
    what it raises ends up in the disk's error node. A reload changes nothing if they are equal."""

    open_store: Callable[[DiskConfig], Awaitable[BlockStore]] = open_disk
    limits: VbdBackendOptions = field(default_factory=VbdBackendOptions)

    async def open(self, disk: DiskConfig) -> BlockStore:
        """The store. TimeoutError: it is not open in time; one that still comes is closed."""
        return await open_in_time(self.open_store(disk), disk.params or disk.name)

    @property
    def opens(self) -> object:
        return self.open_store

    def changes(self, new: ServeOptions) -> str:
        """What differs in `new`, in words."""
        return changes("store", self.open_store, new.open_store, self.limits, new.limits)
