"""The operations of a block frontend, one by one or in batches."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import SECTOR
from pvdrivers.ring.errors import UsageError
from pvdrivers.vbd.features import DeviceInfo

_READ_ONLY = (lib.BLKIF_OP_READ, lib.BLKIF_OP_FLUSH_DISKCACHE)  # what every disk can do


@dataclass(slots=True)
class Operation:
    """One operation of a batch. `data` is what to write, and what was read afterwards."""

    code: int  # BLKIF_OP_*
    sector: int = 0  # 512-byte units
    count: int = 0  # 512-byte units
    data: bytes = b""
    secure: bool = False
    status: int = 0  # 0 or a negative errno

    def __post_init__(self) -> None:
        if not (0 <= self.sector < 1 << 64 and 0 <= self.count < 1 << 32):
            raise UsageError(f"no disk has {self.count} sectors at {self.sector}")


def read(sector: int, count: int) -> Operation:
    return Operation(lib.BLKIF_OP_READ, sector, count)


def write(sector: int, data: bytes) -> Operation:
    if len(data) % SECTOR:
        raise UsageError(f"{len(data)} bytes are not a whole number of sectors")
    return Operation(lib.BLKIF_OP_WRITE, sector, len(data) // SECTOR, data)


def flush() -> Operation:
    return Operation(lib.BLKIF_OP_FLUSH_DISKCACHE)


def discard(sector: int, count: int, secure: bool = False) -> Operation:
    return Operation(lib.BLKIF_OP_DISCARD, sector, count, secure=secure)


def check(operations: Iterable[Operation], info: DeviceInfo) -> None:
    """UsageError when the disk cannot do one of them."""
    unit = info.sector_size // SECTOR
    for operation in operations:
        if operation.sector % unit or operation.count % unit:
            raise UsageError(f"sectors of this disk have {info.sector_size} bytes")
        if operation.sector < 0 or operation.sector + operation.count > info.sectors:
            raise UsageError(
                f"sectors {operation.sector} to {operation.sector + operation.count} are "
                f"beyond the disk's {info.sectors}"
            )
        if info.read_only and operation.code not in _READ_ONLY:
            raise UsageError("the disk is read-only")


class OperationBatch:
    """Operations submitted together and awaited together."""

    def __init__(self, operations: list[Operation], first_key: int) -> None:
        self.operations = operations
        self.first_key = first_key
        self.ios = ffi.new("struct pv_blkfront_io[]", len(operations))
        self.buffers = [_buffer(operation) for operation in operations]
        self.left = len(operations)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for index, operation in enumerate(operations):
            io = self.ios[index]
            io.operation, io.secure = operation.code, operation.secure
            io.sector, io.nr_sectors = operation.sector, operation.count
            io.data = self.buffers[index]
            io.user = ffi.cast("void *", first_key + index)

    def finish(self, index: int, status: int) -> None:
        operation = self.operations[index]
        operation.status = status
        if operation.code == lib.BLKIF_OP_READ and status == 0:
            operation.data = bytes(ffi.buffer(self.buffers[index], operation.count * SECTOR))
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)


def _buffer(operation: Operation) -> Any:
    if operation.code == lib.BLKIF_OP_READ:
        return ffi.new("uint8_t[]", operation.count * SECTOR)
    writes = operation.code in (lib.BLKIF_OP_WRITE, lib.BLKIF_OP_WRITE_BARRIER)
    if writes and len(operation.data) != operation.count * SECTOR:
        raise UsageError(f"{len(operation.data)} bytes to write {operation.count} sectors")
    return ffi.from_buffer(operation.data) if operation.data else ffi.NULL
