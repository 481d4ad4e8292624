"""In the guest: our block frontend over gntalloc, against whatever serves its disks.

Usage: in_guest.py NUMBER TASK [KEY=VALUE...]   NUMBER is the disk's, values go to FrontendFeatures

Prints lines of JSON. Random content comes from the seed, so that dom0 can make the same again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from pvdrivers import native
from pvdrivers.frontends.vbd.device import VbdFrontend
from pvdrivers.frontends.vbd.operations import Operation, discard, read, write
from pvdrivers.ring.abi import SECTOR
from pvdrivers.ring.errors import PeerError
from pvdrivers.vbd.features import DeviceInfo, FrontendFeatures

PATIENCE = 240  # seconds
ROUNDS = 3
BATCH = 24  # operations, of up to MAX_SECTORS sectors
MAX_SECTORS = 128
PAGE = 8  # sectors; kernels discard whole pages only
READ = read(0, 1).code


def say(**values: object) -> None:
    print(json.dumps(values), flush=True)


class Model:
    """What must be on the disk."""

    def __init__(self, sectors: int, seed: int) -> None:
        self.content = bytearray(sectors * SECTOR)
        self.random = random.Random(seed)

    def place(self, unit: int = 1) -> tuple[int, int]:
        """A sector and a count, in multiples of `unit`."""
        total = len(self.content) // SECTOR
        count = self.random.randint(1, MAX_SECTORS // unit) * unit
        return self.random.randrange(0, (total - count) // unit + 1) * unit, count

    def batch(self, can_discard: bool) -> list[Operation]:
        """Operations that do not overlap, so that their order does not matter."""
        operations: list[Operation] = []
        for _ in range(BATCH):
            kind = self.random.choice(("read", "write", "write", "discard"))
            sector, count = self.place(PAGE if kind == "discard" else 1)
            if any(o.sector < sector + count and sector < o.sector + o.count for o in operations):
                continue
            if kind == "read":
                operations.append(read(sector, count))
            elif kind == "write":
                operations.append(write(sector, self.random.randbytes(count * SECTOR)))
            elif can_discard:
                operations.append(discard(sector, count))
        return operations

    def apply(self, operation: Operation) -> None:
        start, end = operation.sector * SECTOR, (operation.sector + operation.count) * SECTOR
        if operation.code == READ:
            assert operation.data == self.content[start:end], f"sector {operation.sector}"
        else:
            self.content[start:end] = operation.data or bytes(end - start)


async def verify(frontend: VbdFrontend, info: DeviceInfo) -> None:
    """Batches of reads, writes and discards against a model."""
    model = Model(info.sectors, seed=info.sectors)
    agreement = frontend.agreement
    assert agreement is not None
    await frontend.submit([write(0, bytes(len(model.content)))])
    for _ in range(ROUNDS):
        for operation in await frontend.submit(model.batch(agreement.discard)):
            assert operation.status == 0, operation
            model.apply(operation)
        if agreement.flush:
            await frontend.flush()
    whole = await frontend.read(0, info.sectors)
    assert whole == model.content
    say(
        agreement=agreement.describe(),
        statistics=frontend.statistics(),
        md5=hashlib.md5(model.content).hexdigest(),
    )


async def resize(frontend: VbdFrontend, info: DeviceInfo) -> None:
    """Says each new size until the disk has its first one again."""
    sizes = [info.sectors]
    say(sectors=info.sectors)
    while len(sizes) < 2 or sizes[-1] != info.sectors:
        await frontend.read(0, 1)  # Linux looks at its device's size only when there is a request
        await asyncio.sleep(0.1)
        now = frontend.info
        if now and now.sectors != sizes[-1]:
            sizes.append(now.sectors)
            say(sectors=now.sectors)
    await frontend.read(info.sectors - 1, 1)


async def unplug(frontend: VbdFrontend, info: DeviceInfo) -> None:
    """Reads until the disk is taken away; nothing may fail before that."""
    say(sectors=info.sectors)
    reads = 0
    try:
        while True:
            await frontend.read(0, 8)
            reads += 1
    except (OSError, PeerError) as error:
        say(reads=reads, ended=str(error), frontend=frontend.describe())
        assert frontend.is_gone or frontend.state.name in ("CLOSING", "CLOSED")


TASKS: dict[str, Callable[[VbdFrontend, DeviceInfo], Awaitable[None]]] = {
    "verify": verify,
    "resize": resize,
    "unplug": unplug,
}


async def main(number: str, task: str, *features: str) -> None:
    wanted: dict[str, Any] = {
        key: int(value) for key, _, value in (item.partition("=") for item in features)
    }
    async with await native.connect_store() as store:
        domid = await store.read_str("domid")
        with await native.open_hypervisor(store) as hypervisor:
            path = f"/local/domain/{domid}/device/vbd/{number}"
            frontend = VbdFrontend(store, path, hypervisor, FrontendFeatures(**wanted))
            frontend.start()
            try:
                async with asyncio.timeout(PATIENCE):
                    await TASKS[task](frontend, await frontend.connected())
                    if not frontend.is_gone:
                        await frontend.close()
            finally:
                await frontend.abort()
            say(closed=frontend.describe())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
