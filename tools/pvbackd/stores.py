"""The stores and filters a configuration can name, and how they are opened for a disk or a LUN."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Annotated, Literal, TypeVar

import msgspec

from pvdrivers.backends.stores.filters import (
    DATA_OPERATIONS,
    DelayFilter,
    ErrorFilter,
    LogFilter,
    RateFilter,
    ShortFilter,
    TornFilter,
)
from pvdrivers.backends.stores.store import (
    BlockStore,
    FileStore,
    NullStore,
    RamStore,
    StoreOperation,
)
from pvdrivers.backends.vbd.disk import DiskConfig, make_store
from pvdrivers.daemon_threads import open_in_daemon_thread
from pvdrivers.tools.config_file import Kind
from pvdrivers.tools.pvbackd.rules import brief, check_fields, fill_in

OperationName = Literal["read", "write", "flush", "discard"]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
ALL: tuple[OperationName, ...] = ("read", "write", "flush", "discard")


def _codes(names: tuple[OperationName, ...]) -> list[StoreOperation]:
    return [StoreOperation[name.upper()] for name in names]


class FromParams(Kind, tag="params", frozen=True):
    """What the toolstack wrote: a file's path, or the size of a disk of type ram or null."""


class File(Kind, tag="file", frozen=True):
    path: str = ""  # the one that the toolstack wrote
    direct: bool = False
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    read_only: bool = False
    sector_size: Literal[512, 1024, 2048, 4096] = 512
    engine: Literal["auto", "io_uring", "threads"] = "auto"

    def open(self, read_only: bool) -> BlockStore:
        return FileStore(
            self.path,
            self.direct,
            self.threads,
            self.read_only or read_only,
            self.sector_size,
            self.engine,
        )


class Ram(Kind, tag="ram", frozen=True):
    size: int
    sector_size: Literal[512, 1024, 2048, 4096] = 512

    def open(self, read_only: bool) -> BlockStore:
        return RamStore(self.size, self.sector_size)


class Null(Kind, tag="null", frozen=True):
    size: int
    sector_size: Literal[512, 1024, 2048, 4096] = 512

    def open(self, read_only: bool) -> BlockStore:
        return NullStore(self.size, self.sector_size)


OwnStore = File | Ram | Null
StoreConfig = FromParams | OwnStore


class Delay(Kind, tag="delay", frozen=True):
    delay_us: Natural
    jitter_us: Natural = 0
    seed: int = 0
    operations: tuple[OperationName, ...] = ALL

    def put_on(self, below: BlockStore) -> BlockStore:
        return DelayFilter(
            below,
            delay=self.delay_us * 1000,
            jitter=self.jitter_us * 1000,
            seed=self.seed,
            operations=_codes(self.operations),
        )


class Rate(Kind, tag="rate", frozen=True):
    bytes_per_second: Annotated[int, msgspec.Meta(ge=1)]
    burst: Natural = 0

    def put_on(self, below: BlockStore) -> BlockStore:
        return RateFilter(below, bytes_per_second=self.bytes_per_second, burst=self.burst)


class Error(Kind, tag="error", frozen=True):
    seed: int
    probability: Share = 1.0
    after: Natural = 0
    operations: tuple[OperationName, ...] = ALL

    def put_on(self, below: BlockStore) -> BlockStore:
        return ErrorFilter(
            below,
            seed=self.seed,
            probability=self.probability,
            after=self.after,
            operations=_codes(self.operations),
        )


class Short(Kind, tag="short", frozen=True):
    seed: int
    probability: Share = 1.0
    after: Natural = 0

    def put_on(self, below: BlockStore) -> BlockStore:
        return ShortFilter(
            below,
            seed=self.seed,
            probability=self.probability,
            after=self.after,
            operations=DATA_OPERATIONS,
        )


class Torn(Kind, tag="torn", frozen=True):
    seed: int
    probability: Share = 1.0
    after: Natural = 0

    def put_on(self, below: BlockStore) -> BlockStore:
        return TornFilter(below, seed=self.seed, probability=self.probability, after=self.after)


class Log(Kind, tag="log", frozen=True):
    path: Annotated[str, msgspec.Meta(min_length=1)]

    def put_on(self, below: BlockStore) -> BlockStore:
        return LogFilter(below, self.path)


FilterConfig = Delay | Rate | Error | Short | Torn | Log

AnyKind = TypeVar("AnyKind", bound=Kind)
DISK_FIELDS = ("params", "name", "domid", "devid")  # of a disk, that a path may hold


def check_paths(parts: Iterable[Kind], fields: Collection[str]) -> None:
    """ValueError: between braces is what cannot be filled in."""
    for part in parts:
        check_fields(getattr(part, "path", ""), fields)


def with_path(part: AnyKind, filled: Callable[[str], str]) -> AnyKind:
    """The same with what its path stands for."""
    if not hasattr(part, "path"):
        return part
    return msgspec.structs.replace(part, path=filled(part.path))


def put_filters(bottom: BlockStore, filters: Iterable[FilterConfig]) -> BlockStore:
    """The first of them next to the store, which is closed when one fails."""
    top = bottom
    try:
        for layer in filters:
            top = layer.put_on(top)
    except BaseException:
        top.close()
        raise
    return top


def path_for(text: str, disk: DiskConfig) -> str:
    """A configured path with {params}, {name}, {domid} and {devid} replaced; each of them is one
    name in a folder, except that `params` may be the path itself."""
    if text in ("", "{params}"):
        return disk.file
    return fill_in(text, DISK_FIELDS[1:], disk).replace("{params}", disk.params)


class DiskStore(msgspec.Struct, frozen=True):
    """Opens a disk's store with its filters, the first of them next to the store."""

    store: StoreConfig
    filters: tuple[FilterConfig, ...] = ()

    async def __call__(self, disk: DiskConfig) -> BlockStore:
        return await open_in_daemon_thread(lambda: self._open(disk))

    def _open(self, disk: DiskConfig) -> BlockStore:
        filled = partial(path_for, disk=disk)
        if isinstance(self.store, FromParams):
            bottom = make_store(disk)
        else:
            bottom = with_path(self.store, filled).open(not disk.writable)
        return put_filters(bottom, [with_path(layer, filled) for layer in self.filters])

    def __str__(self) -> str:
        """Its kinds, and of each what is not the default."""
        return " + ".join(map(brief, (self.store, *self.filters)))
