"""Disk images: made for a benchmark, or the user's own."""

import os
import random
import shutil
import stat
import subprocess
from pathlib import Path

from pvdrivers.ring.abi import SECTOR
from pvdrivers.tools.pvbench.errors import OptionError

MADE_SIZE = 256 << 20  # bytes
# Where mke2fs is when PATH is an ordinary user's.
_MKE2FS_FOLDERS = os.pathsep.join(("/usr/sbin", "/sbin"))
_CONTENT = Path(__file__).parents[3]  # the package: some hundred files to put on a file system


def make_image(path: Path, size: int = MADE_SIZE) -> str:
    """Makes an image at `path`, in place of what is there: an ext4 file system that holds this
    package, or random bytes where mke2fs is missing. Returns which. Raises OptionError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as image:
            image.truncate(size)
    except OSError as error:
        raise OptionError(f"{path} cannot be made: {error.strerror}") from None
    mke2fs = shutil.which("mke2fs") or shutil.which("mke2fs", path=_MKE2FS_FOLDERS)
    if mke2fs is None:
        _fill(path, size)
        return "random bytes"
    command = [mke2fs, "-q", "-F", "-t", "ext4", "-d", str(_CONTENT), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise OptionError(f"mke2fs could not make {path}: {reason[0]}")
    return "ext4"


def _fill(path: Path, size: int) -> None:
    generator = random.Random(1)
    with open(path, "r+b") as image:
        for _ in range(size >> 20):
            image.write(generator.randbytes(1 << 20))


def image_size(path: Path, writable: bool) -> int:
    """Bytes of an image that can be opened. Raises OptionError."""
    try:
        with open(path, "r+b" if writable else "rb") as image:
            mode = os.fstat(image.fileno()).st_mode
            size = image.seek(0, os.SEEK_END)
    except OSError as error:
        raise OptionError(f"{path} cannot be opened: {error.strerror}") from None
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        raise OptionError(f"{path} is neither a file nor a block device")
    if size % SECTOR:
        raise OptionError(f"{path} has {size} bytes, not a whole number of {SECTOR}-byte sectors")
    return size


def copy_start(path: Path, copy: Path, size: int) -> None:
    """Copies the first `size` bytes of an image; what is zeros stays a hole."""
    with open(path, "rb") as source, open(copy, "wb") as target:
        target.truncate(size)
        for start in range(0, size, 1 << 20):
            data = source.read(min(1 << 20, size - start))
            if data.count(0) != len(data):
                target.seek(start)
                target.write(data)
