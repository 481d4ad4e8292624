"""The workloads that run when none is asked for."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pvdrivers.tools.pvbench.fio.image import copy_start, image_size
from pvdrivers.tools.pvbench.fio.options import FioOptions
from pvdrivers.tools.pvbench.job.batches import JobBatch

RUNTIME = "1500ms"
COPY_SIZE = 256 << 20  # bytes of the user's image that are tried

# Reads of the image compare with the file itself; writes are read back.
_ON_THE_IMAGE: tuple[dict[str, Any], ...] = (
    {"name": "image randread 4k", "rw": "randread", "bs": "4k", "iodepth": 32},
    {"name": "image read 128k", "rw": "read", "bs": "128k", "iodepth": 8},
    {"name": "image randrw 4k", "rw": "randrw", "bs": "4k", "iodepth": 32, "rwmixread": 70},
    {"name": "image write 128k", "rw": "write", "bs": "128k", "iodepth": 8},
    {"name": "image randwrite fsync", "rw": "randwrite", "bs": "4k", "iodepth": 32} | {"fsync": 32},
    {"name": "image randtrim 64k", "rw": "randtrim", "bs": "64k", "iodepth": 8},
)
_IN_MEMORY: tuple[dict[str, Any], ...] = (
    {"name": "ram randread 4k", "rw": "randread", "bs": "4k", "iodepth": 32, "store": "ram"},
    {"name": "null randread 512", "rw": "randread", "bs": "512", "iodepth": 32, "store": "null"}
    | {"verify": None},
)


@contextmanager
def suite(common: FioOptions, image: Path | None, made: bool) -> Iterator[list[JobBatch]]:
    """Jobs, one after the other, with the common options of the command line. The user's own image
    is only read: what writes works on a copy of its start. Raises OptionError."""
    common = replace(common, time_based=True, runtime=common.runtime or RUNTIME, verify="crc32c")
    memory = replace(common, filename=None, direct=common.direct and image is None)
    in_memory = [replace(memory, **options).job() for options in _IN_MEMORY]
    if image is None:
        yield [[job] for job in in_memory]
        return
    size = min(image_size(image, made), COPY_SIZE) // 4096 * 4096
    with tempfile.TemporaryDirectory(prefix="pvbench-") as folder:
        scratch = image
        if not made:
            scratch = Path(folder) / "copy"
            copy_start(image, scratch, size)
        jobs = []
        for options in _ON_THE_IMAGE:
            chosen = replace(common, size=str(size), **options)
            chosen = replace(chosen, filename=scratch if chosen.writable else image)
            jobs.append(chosen.job())
        yield [[job] for job in jobs + in_memory]
