"""An ext4 file system with files of many sizes, and the programs that judge a copy of it."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

SIZE = 16 << 20
FILES = 40
PATH = os.environ.get("PATH", "") + ":/sbin:/usr/sbin"


def make_ext4(folder: Path) -> Path:
    """The image; what is in it is in `folder`/content."""
    for program in ("mke2fs", "e2fsck", "debugfs"):
        if shutil.which(program, path=PATH) is None:
            pytest.skip(f"needs {program} (Debian package e2fsprogs)")
    rng = random.Random(4)
    for index in range(FILES):
        path = folder / "content" / _name(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.choice([0, 1, 511, 4096, 70_000, 300_000])))
    image = blank(folder / "image")
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-d", folder / "content", image)
    return image


def blank(path: Path) -> Path:
    path.touch()
    os.truncate(path, SIZE)
    return path


def check_ext4(folder: Path, copy: Path) -> None:
    """AssertionError: it is damaged, or a file has other content."""
    _run("e2fsck", "-f", "-n", copy)
    for index in (3, 17, 39):
        dumped = folder / "dumped"
        _run("debugfs", "-R", f"dump /{_name(index)} {dumped}", copy)
        assert dumped.read_bytes() == (folder / "content" / _name(index)).read_bytes()


def _name(index: int) -> str:
    return f"d{index % 5}/file{index}"


def _run(*command: object) -> None:
    words = list(map(str, command))
    environment = {**os.environ, "PATH": PATH}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
