"""Starts a host in the background, and stops it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvxl.host import HostFolder, HostSettings
from pvdrivers.tools.pvxl.service import READY

PATIENCE = 60.0  # seconds: pvbackd finishes what it has begun
INTERVAL = 0.01  # seconds


def start(folder: HostFolder, settings: HostSettings) -> None:
    """Returns when guests can be created. UsageError: the host does not come up, and why."""
    command = [sys.executable, "-m", "pvdrivers.tools.pvxl.service"]
    command += [str(folder.path.absolute()), json.dumps(asdict(settings))]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    assert process.stdout
    with process.stdout as said:
        answer = said.readline().strip()
    if answer != READY:
        raise UsageError(answer or f"the host ended at its start; {folder.log} says why")


def stop(folder: HostFolder) -> None:
    """Ends the host, its guests and its backends, and leaves nothing. UsageError: none runs."""
    pid = _holder(folder.lock)
    if pid is None:
        raise UsageError(f"no host runs in {folder.path}")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while _holder(folder.lock) is not None:
        if time.monotonic() > deadline:
            raise UsageError(
                f"the host, process {pid}, has not ended in {PATIENCE:g} s; see {folder.log}"
            )
        time.sleep(INTERVAL)


def _holder(lock: Path) -> int | None:
    """The process that holds a lock file (process_lock); None: none does."""
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(fd, 32, 0) or 0)
    finally:
        os.close(fd)
    return None
