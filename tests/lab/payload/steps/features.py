"""What both ends can agree on: each feature alone, each one off, all of them and none."""

from __future__ import annotations

from dataclasses import dataclass

from guest import CommandFailed
from serve import Disk, Lab
from step import MEBIBYTE, file_system_and_fio, frontend_keys, reload_frontend, step

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.backends.vbd.device import VbdBackendOptions

# For blkfront, which takes a page for every segment of every request a ring has room for when
# grants are persistent: much more than this and a guest of this size has no memory left.
GREEDY = "max_ring_page_order=1 max_indirect_segments=64 max_queues=2"


@dataclass
class Dialect:
    """What the frontend is told, what we offer, and what must come of it."""

    parameters: str
    options: VbdBackendOptions
    pages: int = 1
    queues: int = 2
    persistent: bool = True
    segments: int = 64
    flush: bool = True
    discard: bool = True


DIALECTS = {
    "none": Dialect(
        "max_indirect_segments=0 max_ring_page_order=0 max_queues=1",
        VbdBackendOptions(False, 0, 0, max_queues=1, barrier=False),
        *(1, 1, False, 11, False, False),
    ),
    "persistent alone": Dialect("", VbdBackendOptions(True, 0, 0, max_queues=1), 1, 1, True, 11),
    "indirect alone": Dialect(
        "max_indirect_segments=128", VbdBackendOptions(False, 256, 0), 1, 2, False, 128
    ),
    "four pages, one queue": Dialect(
        "max_ring_page_order=2", VbdBackendOptions(max_queues=1), 4, 1, True, 32
    ),
    "two queues alone": Dialect("max_queues=2", VbdBackendOptions(False, 0), 1, 2, False, 11),
    "sixteen pages": Dialect(
        "max_ring_page_order=4 max_indirect_segments=0", VbdBackendOptions(), 16, 2, True, 11
    ),
    "all": Dialect(GREEDY, VbdBackendOptions(), 2),
    "no persistent grants": Dialect(GREEDY, VbdBackendOptions(False), 2, persistent=False),
    "no indirect segments": Dialect(
        GREEDY, VbdBackendOptions(max_indirect_segments=0), 2, segments=11
    ),
    "one page": Dialect(GREEDY, VbdBackendOptions(max_ring_page_order=0)),
    "one queue": Dialect(GREEDY, VbdBackendOptions(max_queues=1), 2, 1),
    "no barrier": Dialect(GREEDY, VbdBackendOptions(barrier=False), 2),
    "no flush": Dialect(GREEDY, VbdBackendOptions(), 2, flush=False),
    "no discard": Dialect(GREEDY, VbdBackendOptions(), 2, discard=False),
}


async def agreed(lab: Lab, disk: Disk, dialect: Dialect) -> Dialect:
    """What both ends work with, as our end and the guest's kernel have it."""
    head = disk.backend.head
    assert head is not None
    queue = "/sys/block/xvdb/queue"
    return Dialect(
        dialect.parameters,
        dialect.options,
        pages=1 << head.layout.ring_page_order,
        queues=head.layout.queues,
        persistent=dialect.options.persistent and head.persistent,
        segments=await lab.shell.number(f"{queue}/max_segments"),
        flush="write back" in await lab.shell.run(f"cat {queue}/write_cache"),
        discard=await lab.shell.number(f"{queue}/discard_max_bytes") > 0,
    )


def ram_store(dialect: Dialect) -> RamStore:
    store = RamStore(16 * MEBIBYTE)
    store.pointer.geometry.can_flush = dialect.flush
    store.pointer.geometry.can_discard = dialect.discard
    return store


@step
async def dialects(lab: Lab) -> None:
    """Every feature alone, every one off, all, and none: what is agreed on, mkfs, fio, fsck."""
    failed = []
    for name, dialect in DIALECTS.items():
        print(f"    {name}: blkfront {dialect.parameters or 'as it is'}", flush=True)
        await reload_frontend(lab, dialect.parameters)
        async with lab.disk("xvdb", ram_store(dialect), dialect.options) as disk:
            print(f"    {await frontend_keys(lab, disk.config.frontend_path)}", flush=True)
            try:
                assert (found := await agreed(lab, disk, dialect)) == dialect, found
                await file_system_and_fio(lab, "xvdb")
                assert disk.backend.broken_rings == 0
            except (CommandFailed, AssertionError) as error:
                failed.append(name)
                print(f"    {name} FAILED: {error}", flush=True)
    await reload_frontend(lab)
    assert not failed, failed
