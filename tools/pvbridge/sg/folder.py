"""Where the sockets of machines are; connection.c looks in the same places."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from pvdrivers.ring.errors import UsageError

VARIABLE = "PVSG_DIRECTORY"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PATH_MAX = 107  # bytes of a Unix socket's name


def socket_path(machine: str) -> Path:
    """The folder is made if need be. UsageError: there can be no such socket."""
    if not NAME.fullmatch(machine):
        raise UsageError(
            f"--name {machine[:80]!r}: write up to 64 letters, digits, dots, dashes and underscores"
        )
    path = _folder() / f"{machine}.sock"
    if len(os.fsencode(path)) > PATH_MAX:
        raise UsageError(f"{path} is too long for a socket: set {VARIABLE} to a shorter folder")
    return path


def _folder() -> Path:
    if named := os.environ.get(VARIABLE):
        return _made(Path(named))
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return _made(Path(runtime) / "pvsg")
    folder = _made(Path(f"/tmp/pvsg-{os.geteuid()}"))
    status = folder.lstat()  # anybody can make this folder
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise UsageError(f"{folder} is another user's: set {VARIABLE} to a folder of yours")
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
