"""In the guest: our SCSI frontend over gntalloc, against whatever serves its host.

Usage: in_guest_scsi.py NUMBER   the host's

Prints lines of JSON, after each of which dom0 does something. Random content comes from a seed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys

from pvdrivers import native
from pvdrivers.frontends.scsi.command import CommandResult
from pvdrivers.frontends.scsi.device import ScsiFrontend
from pvdrivers.ring.errors import UsageError
from pvdrivers.scsi.address import ScsiAddress
from pvdrivers.scsi.block_range import BlockRange
from pvdrivers.scsi.result import HostByte, Status
from pvdrivers.scsi.sense import SenseKey

PATIENCE = 480  # seconds
IMPATIENCE = 2  # seconds that a command gets which does not end
ROUNDS = 3
BATCH = 24  # commands, of up to MAX_BLOCKS blocks
MAX_BLOCKS = 1024
BLOCK = 512
DISK, DEBUG = ScsiAddress(0, 0, 0, 0), ScsiAddress(0, 0, 1, 0)
READ, WRITE = 0x28, 0x2A


def say(**values: object) -> None:
    print(json.dumps(values), flush=True)


class Unit:
    """A disk of the host."""

    def __init__(self, frontend: ScsiFrontend, address: ScsiAddress) -> None:
        self.frontend = frontend
        self.address = address

    async def good(self, cdb: bytes, data_out: bytes = b"", room: int = 0) -> bytes:
        """What it reads; unit attentions are passed over."""
        while True:
            result = await self.frontend.execute(self.address, cdb, data_out, room)
            if result.good:
                return result.data
            sense = result.parsed_sense
            assert sense, result
            assert sense.key == SenseKey.UNIT_ATTENTION, result

    async def name(self) -> str:
        """Vendor and product."""
        data = await self.good(bytes([0x12, 0, 0, 0, 36, 0]), room=36)
        return data[8:32].decode().strip()

    async def blocks(self) -> int:
        data = await self.good(bytes([0x25, *bytes(9)]), room=8)
        assert int.from_bytes(data[4:], "big") == BLOCK
        return int.from_bytes(data[:4], "big") + 1

    async def read(self, block: int, blocks: int) -> bytes:
        return await self.good(BlockRange(block, blocks).cdb(READ), room=blocks * BLOCK)

    async def write(self, block: int, data: bytes) -> None:
        await self.good(BlockRange(block, len(data) // BLOCK).cdb(WRITE), data)


class Model:
    """What must be on a disk."""

    def __init__(self, unit: Unit, blocks: int) -> None:
        self.unit = unit
        self.content = bytearray(blocks * BLOCK)
        self.random = random.Random(blocks)

    def places(self) -> list[tuple[int, int]]:
        """Blocks and counts that do not overlap, so that their order does not matter."""
        found: list[tuple[int, int]] = []
        for _ in range(BATCH):
            count = self.random.randint(1, MAX_BLOCKS)
            first = self.random.randrange(len(self.content) // BLOCK - count + 1)
            if all(first + count <= f or f + c <= first for f, c in found):
                found.append((first, count))
        return found

    async def access(self, first: int, count: int) -> None:
        """Reads or writes, at random."""
        part = slice(first * BLOCK, (first + count) * BLOCK)
        if self.random.random() < 0.4:
            assert await self.unit.read(first, count) == self.content[part], f"block {first}"
        else:
            self.content[part] = data = self.random.randbytes(count * BLOCK)
            await self.unit.write(first, data)

    async def verify(self) -> str:
        """Many commands at once, then all of it; its digest."""
        total = len(self.content) // BLOCK
        for first in range(0, total, MAX_BLOCKS):
            await self.access(first, min(MAX_BLOCKS, total - first))
        for _ in range(ROUNDS):
            await asyncio.gather(*(self.access(*place) for place in self.places()))
        for first in range(0, total, MAX_BLOCKS):
            count = min(MAX_BLOCKS, total - first)
            part = self.content[first * BLOCK : (first + count) * BLOCK]
            assert await self.unit.read(first, count) == part
        return hashlib.md5(self.content).hexdigest()


async def disk(frontend: ScsiFrontend) -> None:
    unit = Unit(frontend, DISK)
    name, blocks = await unit.name(), await unit.blocks()
    md5 = await Model(unit, blocks).verify()
    agreement = frontend.agreement
    assert agreement is not None
    say(name=name, md5=md5, agreement=agreement.describe(), statistics=frontend.statistics())


async def plugged(frontend: ScsiFrontend) -> None:
    """A LUN comes, whose commands do not end; it goes and comes again, and they do."""
    unit = Unit(frontend, DEBUG)
    await frontend.wait_for_lun(DEBUG)
    name = await unit.name()
    first = BlockRange(0, 1).cdb(READ)
    result = await frontend.execute(DEBUG, first, room=BLOCK, patience=IMPATIENCE)
    assert result.host == HostByte.TIME_OUT, result
    say(timed_out=name)
    await frontend.wait_for_lun(DEBUG, present=False)
    say(luns=len(frontend.luns))
    await frontend.wait_for_lun(DEBUG)
    data = random.randbytes(64 * BLOCK)
    await unit.write(16, data)
    assert await unit.read(16, 64) == data
    say(answered=name)


async def unplugged(frontend: ScsiFrontend) -> None:
    """Reads until the host is taken away; nothing may fail before that."""
    reads, result = 0, CommandResult(Status.GOOD)
    try:
        while result.good:
            result = await frontend.execute(DISK, BlockRange(0, 8).cdb(READ), room=8 * BLOCK)
            reads += 1
        assert result.host in (HostByte.NO_CONNECT, HostByte.RESET), result
    except UsageError:  # it is closed
        pass
    say(reads=reads, frontend=frontend.describe())
    assert frontend.is_gone or frontend.state.name in ("CLOSING", "CLOSED")


async def main(number: str) -> None:
    async with await native.connect_store() as store:
        domid = await store.read_str("domid")
        with await native.open_hypervisor(store) as hypervisor:
            path = f"/local/domain/{domid}/device/vscsi/{number}"
            frontend = ScsiFrontend(store, path, hypervisor)
            frontend.start()
            try:
                async with asyncio.timeout(PATIENCE):
                    await frontend.wait_for_lun(DISK)
                    for task in (disk, plugged, unplugged):
                        await task(frontend)
            finally:
                await frontend.abort()
            say(closed=frontend.describe())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
