"""The emulated computer's disks, which QEMU slows down, and block devices made of them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from step import MEBIBYTE, command

DISKS = {"disk0": "/dev/vdb", "disk1": "/dev/vdc"}  # QEMU's names, and dom0's
UNLIMITED = 0
_BYTES_PER_SECOND = {f"bps{what}": UNLIMITED for what in ("", "_rd", "_wr")}


class Qemu:
    """QEMU's machine protocol, which reaches dom0 on a virtio port."""

    def __init__(self) -> None:
        (name,) = Path("/sys/class/virtio-ports").glob("vport*p1")
        self._port = os.open(f"/dev/{name.name}", os.O_RDWR)
        self._unread = b""
        self.execute("qmp_capabilities")

    def _line(self) -> dict[str, Any]:
        while b"\n" not in self._unread:
            self._unread += os.read(self._port, 65536)
        line, self._unread = self._unread.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def execute(self, name: str, **arguments: object) -> None:
        """OSError when QEMU refuses."""
        line = json.dumps({"execute": name, "arguments": arguments}) + "\n"
        os.write(self._port, line.encode())
        while "return" not in (answer := self._line()):  # before it: the greeting, events
            if "error" in answer:
                raise OSError(f"{name}: {answer['error']['desc']}")

    def throttle(self, disk: str, operations_per_second: int) -> None:
        """How many reads and writes the disk does in a second; flushes do not count."""
        rates = {"iops": operations_per_second, "iops_rd": UNLIMITED, "iops_wr": UNLIMITED}
        self.execute("block_set_io_throttle", device=disk, **_BYTES_PER_SECOND, **rates)


@cache
def qemu() -> Qemu:
    """The only one: there is one port, which greets once."""
    return Qemu()


@contextmanager
def images(*names: str, mebibytes: int = 64) -> Iterator[list[str]]:
    """Disks' empty files, for the time of a block."""
    paths = [f"/run/{name}.image" for name in names]
    for path in paths:
        os.mknod(path)
        os.truncate(path, mebibytes * MEBIBYTE)
    yield paths
    for path in paths:
        os.unlink(path)


def in_flight(disk: str) -> tuple[int, int]:
    """How many reads and writes dom0's kernel waits for."""
    path = f"/sys/block/{DISKS[disk].removeprefix('/dev/')}/inflight"
    reads, writes = map(int, Path(path).read_text().split())
    return reads, writes


async def dmsetup(*words: str) -> None:
    """The device mapper's tool, in a dom0 that has no udev to make the nodes."""
    await command("env", "DM_DISABLE_UDEV=1", "dmsetup", *words)


@asynccontextmanager
async def mapped(name: str, *table: str) -> AsyncIterator[str]:
    """A device of the device mapper's for the time of a block, as LVM makes them.

    `table` has a line for each piece: START COUNT TARGET ARGUMENTS, in sectors of 512 bytes.
    """
    await dmsetup("create", name, "--table", "\n".join(table))
    yield f"/dev/mapper/{name}"
    await dmsetup("remove", "--retry", name)


@asynccontextmanager
async def looped(path: str) -> AsyncIterator[str]:
    """A loop device on a file, for the time of a block."""
    await command("modprobe", "loop")
    device = await command("losetup", "--find", "--show", path)
    yield device
    await command("losetup", "--detach", device)


async def drop_caches() -> None:
    """What was written is on the disk afterwards, and only there."""
    await command("sync")
    await asyncio.to_thread(Path("/proc/sys/vm/drop_caches").write_text, "3")
