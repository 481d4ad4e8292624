"""fio on a file on the disk, with a flush behind every N writes.

With `fsync=64` fio before 3.38 issues one fsync after the other until the first of them has ended:
at depth 32 almost thirty of them, not one. So it replays a log here, which says what is flushed
when.
"""

import random
import tempfile
from pathlib import Path
from typing import Any

from pvdrivers.tools.pvbench.compare.competitors.fio import run_fio
from pvdrivers.tools.pvbench.compare.model import Contender, Measured, Setting
from pvdrivers.tools.pvbench.compare.needs import DISK, FIO, fio_engine
from pvdrivers.tools.pvbench.compare.scratch import FILE_SIZE

MAX_WRITES = 200_000  # a second; a disk that does more is at the log's end before the time is up


def operations(writes: int, block: int, writes_per_flush: int) -> str:
    """A log of writes to random places, whole blocks of `block` bytes, with the flush that our
    file store has, fdatasync, behind every `writes_per_flush`."""
    places = random.Random(1).choices(range(0, FILE_SIZE, block), k=writes)
    lines = ["fio version 2 iolog", "file add", "file open"]
    for count, place in enumerate(places, 1):
        lines.append(f"file write {place} {block}")
        if count % writes_per_flush == 0:
            lines.append("file datasync 0 0")
    return "\n".join([*lines, "file close", ""])


def fio_writes(engine: str, *, block: int, writes_per_flush: int, **options: Any) -> Contender:
    """fio on the same file on the disk as ours, with random writes and flushes."""

    def measure(setting: Setting) -> Measured:
        # In memory, so that it is not the disk's business too.
        with tempfile.NamedTemporaryFile("w", dir=setting.memory_file.parent) as log:
            writes = int(MAX_WRITES * (setting.seconds + 1))  # the ramp is less than a second
            log.write(operations(writes, block, writes_per_flush))
            log.flush()
            return run_fio(
                setting,
                ioengine=engine,
                rw="randwrite",
                bs=block,
                read_iolog=Path(log.name),
                replay_redirect=setting.disk_file,
                **options,
            )

    return Contender(f"fio {engine} on the disk", measure, [FIO, fio_engine(engine), DISK])
