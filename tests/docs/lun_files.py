"""Two files on a LUN, enough for a SQLite database and its journal: a VFS for apsw.

Each half of the LUN is a file. Its first block has what a directory would: whether the file is
there, and its size. SQLite sees what it would see of a file system that writes all of this through.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import apsw

from pvdrivers.scsi.block_range import BlockRange

BLOCK = 512
READ, WRITE, SYNCHRONIZE_CACHE = 0x28, 0x2A, 0x35
JOURNAL = "-journal"

_HEADER = struct.Struct("<?7xQ")  # whether it is there, its size

RunCommand = Callable[[bytes, bytes, int], bytes]  # CDB, data, room; what came back


class LunFile:
    """`run` carries out a command and waits for it, in the thread that SQLite is used in."""

    def __init__(self, run: RunCommand, first: int, blocks: int) -> None:
        self._run = run
        self._first = first
        self._blocks = blocks
        self.exists, self.size = _HEADER.unpack_from(self._read(0, 1))

    def change(self, exists: bool, size: int) -> None:
        self.exists, self.size = exists, size
        self._write(0, _HEADER.pack(exists, size).ljust(BLOCK, b"\0"))

    def _read(self, block: int, count: int) -> bytes:
        return self._run(BlockRange(self._first + block, count).cdb(READ), b"", count * BLOCK)

    def _write(self, block: int, data: bytes) -> None:
        count = len(data) // BLOCK
        if block + count > self._blocks:
            raise apsw.FullError(f"a file on this LUN has {self._blocks} blocks")
        self._run(BlockRange(self._first + block, count).cdb(WRITE), data, 0)

    # ---- for SQLite --------------------------------------------------------------------------

    def xRead(self, amount: int, offset: int) -> bytes:
        end = min(offset + amount, self.size)
        if end <= offset:
            return b""
        first = offset // BLOCK
        data = self._read(1 + first, -(-end // BLOCK) - first)
        return data[offset - first * BLOCK : end - first * BLOCK]

    def xWrite(self, data: bytes, offset: int) -> None:
        if offset > self.size:
            data, offset = bytes(offset - self.size) + data, self.size
        first, end = offset // BLOCK, -(-(offset + len(data)) // BLOCK)
        before = offset - first * BLOCK
        after = (end - first) * BLOCK - before - len(data)
        if before or after:
            old = self._read(1 + first, end - first)
            data = old[:before] + data + (old[-after:] if after else b"")
        self._write(1 + first, data)
        if (size := (end * BLOCK) - after) > self.size:
            self.change(True, size)

    def xTruncate(self, size: int) -> None:
        self.change(True, size)

    def xSync(self, flags: int) -> None:
        self._run(bytes((SYNCHRONIZE_CACHE,)) + bytes(9), b"", 0)

    def xFileSize(self) -> int:
        return self.size

    def xSectorSize(self) -> int:
        return BLOCK

    def xDeviceCharacteristics(self) -> int:
        """Nothing that a disk does not promise."""
        return 0

    def xLock(self, level: int) -> None:
        """There is one connection."""

    def xUnlock(self, level: int) -> None: ...

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, operation: int, pointer: int) -> bool:
        return False

    def xClose(self) -> None: ...


class LunVfs(apsw.VFS):
    """The files of a LUN of so many blocks, under the name that a connection has as `vfs`."""

    def __init__(self, name: str, run: RunCommand, blocks: int) -> None:
        super().__init__(name, base="")
        half = blocks // 2
        self.database, self.journal = (LunFile(run, first, half) for first in (0, half))

    def _file(self, name: Any) -> LunFile:
        return self.journal if str(name).endswith(JOURNAL) else self.database

    def xOpen(self, name: Any, flags: list[int]) -> LunFile:
        path = name if isinstance(name, str) or name is None else name.filename()
        if path is None:
            raise apsw.CantOpenError("there is no third file, for what is temporary")
        file = self._file(path)
        if not file.exists:
            if not flags[0] & apsw.SQLITE_OPEN_CREATE:
                raise apsw.CantOpenError(f"there is no {path}")
            file.change(True, 0)
        flags[1] = flags[0]
        return file

    def xAccess(self, name: str, flags: int) -> bool:
        return not name.endswith("-wal") and self._file(name).exists

    def xDelete(self, name: str, sync: bool) -> None:
        file = self._file(name)
        file.change(False, 0)
        if sync:
            file.xSync(0)

    def xFullPathname(self, name: str) -> str:
        return name
