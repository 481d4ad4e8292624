"""Starts a host in the background, and stops it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict

from pvdrivers.process_lock import lock_holder
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvxl.host import HostFolder, HostSettings
from pvdrivers.tools.pvxl.service import READY

PATIENCE = 60.0  # seconds: pvbackd finishes what it has begun


def start(folder: HostFolder, settings: HostSettings) -> None:
    """Returns when guests can be created. UsageError: the host does not come up, and why. OSError:
    there can be no such folder."""
    folder.make()
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
        with suppress(OSError):  # another host's files are in it
            folder.path.rmdir()
        raise UsageError(answer or f"the host ended at its start; {folder.log} says why")


def stop(folder: HostFolder) -> None:
    """Ends the host, its guests and its backends, and leaves nothing. UsageError: none runs."""
    pid = lock_holder(folder.lock)
    if pid is None:
        raise UsageError(f"no host runs in {folder.path}")
    if pid == 0:
        raise UsageError(f"{folder.lock} does not say which process the host is: end that one")
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return  # it has just ended
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        waiting = select.poll()
        waiting.register(process, select.POLLIN)
        if not waiting.poll(PATIENCE * 1000):
            raise UsageError(
                f"the host, process {pid}, has not ended in {PATIENCE:g} s; see {folder.log}"
            )
    finally:
        os.close(process)
