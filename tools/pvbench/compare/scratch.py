"""The files that both contenders of a comparison read and write."""

import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pvdrivers.tools.pvbench.compare.model import Setting
from pvdrivers.tools.pvbench.errors import OptionError

FILE_SIZE = 64 << 20  # bytes
MEMORY = Path("/dev/shm")  # a tmpfs on every Linux
MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs", "devtmpfs")


def file_system(folder: Path, mounts: str) -> str:
    """The type of the file system that holds a folder, by the lines of /proc/self/mounts."""
    found = ("", Path("/"))
    for line in mounts.splitlines():
        _, where, kind, *_ = line.split()
        mount = Path(where.encode().decode("unicode_escape"))  # blanks are written \040
        if folder.is_relative_to(mount) and len(mount.parts) >= len(found[1].parts):
            found = kind, mount
    return found[0]


def on_disk(folder: Path) -> bool:
    kind = file_system(folder.resolve(), Path("/proc/self/mounts").read_text())
    return kind not in MEMORY_FILE_SYSTEMS


def _fill(path: Path) -> Path:
    content = random.Random(1).randbytes(1 << 20)
    with path.open("wb") as file:
        for _ in range(FILE_SIZE >> 20):
            file.write(content)
        os.fsync(file.fileno())  # or the first contender's first flush would do it
        # fio begins without the page cache too. Filled in large pieces, it would be slow to write
        # to in small ones: ext4 looks at a whole large folio for each.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path


@contextmanager
def setting(seconds: float, disk: Path) -> Iterator[Setting]:
    """Files for the runs of one comparison after the other. Raises OptionError when they cannot
    be made."""
    if not disk.is_dir():
        raise OptionError(f"--disk: {disk} is no folder")
    with ExitStack() as stack:

        def file_in(folder: Path) -> Path:
            made = tempfile.TemporaryDirectory(prefix="pvbench-", dir=folder)
            return _fill(Path(stack.enter_context(made)) / "file")

        try:
            memory_file = file_in(MEMORY)
            disk_file = file_in(disk) if on_disk(disk) else None
        except OSError as error:
            raise OptionError(f"{error.filename}: {error.strerror}") from None
        yield Setting(seconds, memory_file, disk_file)
