"""The stores and filters a configuration can name, and how they are opened for a disk."""

from __future__ import annotations

import re
from typing import Annotated, Literal

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
from pvdrivers.tools.command_line import suggestion
from pvdrivers.tools.pvbackd.rules import Kind, brief

OperationName = Literal["read", "write", "flush", "discard"]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
FIELDS = ("params", "name", "domid", "devid")  # of a disk, that a path may hold
ALL: tuple[OperationName, ...] = ("read", "write", "flush", "discard")


def _codes(names: tuple[OperationName, ...]) -> list[StoreOperation]:
    return [StoreOperation[name.upper()] for name in names]


def fill_in(text: str, disk: DiskConfig) -> str:
    """A configured path with {params}, {name}, {domid} and {devid} replaced; each of them is one
    name in a folder, except that `params` may be the path itself."""
    for key in FIELDS[1:]:
        text = text.replace(f"{{{key}}}", str(getattr(disk, key)).replace("/", "_"))
    return text.replace("{params}", disk.params)


def check_fields(path: str) -> None:
    """ValueError: between braces is what cannot be filled in."""
    for name in re.findall(r"\{(.*?)\}", path):
        if name not in FIELDS:
            raise ValueError(f"{{{name}}} in {path!r}: {suggestion(name, FIELDS)}")


class FromParams(Kind, tag="params", frozen=True):
    """What the toolstack wrote: a file's path, or the size of a disk of type ram or null."""

    def open(self, disk: DiskConfig) -> BlockStore:
        return make_store(disk)


class File(Kind, tag="file", frozen=True):
    path: str = "{params}"
    direct: bool = False
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    read_only: bool = False
    sector_size: Literal[512, 1024, 2048, 4096] = 512
    engine: Literal["auto", "io_uring", "threads"] = "auto"

    def __post_init__(self) -> None:
        check_fields(self.path)

    def open(self, disk: DiskConfig) -> BlockStore:
        path = fill_in(self.path, disk) if self.path != "{params}" else disk.file
        read_only = self.read_only or not disk.writable
        return FileStore(
            path,
            self.direct,
            self.threads,
            read_only,
            self.sector_size,
            self.engine,
        )


class Ram(Kind, tag="ram", frozen=True):
    size: int
    sector_size: Literal[512, 1024, 2048, 4096] = 512

    def open(self, disk: DiskConfig) -> BlockStore:
        return RamStore(self.size, self.sector_size)


class Null(Kind, tag="null", frozen=True):
    size: int
    sector_size: Literal[512, 1024, 2048, 4096] = 512

    def open(self, disk: DiskConfig) -> BlockStore:
        return NullStore(self.size, self.sector_size)


StoreConfig = FromParams | File | Ram | Null


class Delay(Kind, tag="delay", frozen=True):
    delay_us: Natural
    jitter_us: Natural = 0
    seed: int = 0
    operations: tuple[OperationName, ...] = ALL

    def put_on(self, below: BlockStore, disk: DiskConfig) -> BlockStore:
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

    def put_on(self, below: BlockStore, disk: DiskConfig) -> BlockStore:
        return RateFilter(below, bytes_per_second=self.bytes_per_second, burst=self.burst)


class Error(Kind, tag="error", frozen=True):
    seed: int
    probability: Share = 1.0
    after: Natural = 0
    operations: tuple[OperationName, ...] = ALL

    def put_on(self, below: BlockStore, disk: DiskConfig) -> BlockStore:
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

    def put_on(self, below: BlockStore, disk: DiskConfig) -> BlockStore:
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

    def put_on(self, below: BlockStore, disk: DiskConfig) -> BlockStore:
        return TornFilter(below, seed=self.seed, probability=self.probability, after=self.after)


class Log(Kind, tag="log", frozen=True):
    path: str

    def __post_init__(self) -> None:
        check_fields(self.path)

    def put_on(self, below: BlockStore, disk: DiskConfig) -> BlockStore:
        return LogFilter(below, fill_in(self.path, disk))


FilterConfig = Delay | Rate | Error | Short | Torn | Log


class DiskStore(msgspec.Struct, frozen=True):
    """Opens a disk's store with its filters, the first of them next to the store."""

    store: StoreConfig
    filters: tuple[FilterConfig, ...] = ()

    async def __call__(self, disk: DiskConfig) -> BlockStore:
        return await open_in_daemon_thread(lambda: self._open(disk))

    def _open(self, disk: DiskConfig) -> BlockStore:
        top = self.store.open(disk)
        try:
            for layer in self.filters:
                top = layer.put_on(top, disk)
        except BaseException:
            top.close()
            raise
        return top

    def __str__(self) -> str:
        """Its kinds, and of each what is not the default."""
        return " + ".join(map(brief, (self.store, *self.filters)))
