"""A SAN on this machine: Debian's tgtd (package tgt) at a port of the loopback.

with Tgt() as san:
    url = san.add(image)
    san.kill()     as if its power were lost: what it has written is in the page cache
    san.start()    the same targets again
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import Self

PATIENCE = 60.0  # seconds that tgtd has to start
TARGET = "iqn.2012-04.org.pvdrivers.tgt:san"
PROGRAMS = ("tgtd", "tgtadm", "tgtimg")


class Tgt:
    """One target, with CHAP if there are `user` and `secret`. LUNs have the numbers 1, 2 …"""

    def __init__(self, user: str = "", secret: str = "") -> None:
        self.port = free_port()
        self._folder = mkdtemp(prefix="tgt-")  # short: a Unix socket's path has 107 characters
        self._environment = os.environ | {"TGT_IPC_SOCKET": f"{self._folder}/control"}
        self._daemon: subprocess.Popen[bytes] | None = None
        self._set_up = [f"--op new --mode target --tid 1 --targetname {TARGET}"]
        if user:
            self._set_up += [
                f"--op new --mode account --user {user} --password {secret}",
                f"--op bind --mode account --tid 1 --user {user}",
            ]
        self._set_up.append("--op bind --mode target --tid 1 --initiator-address ALL")
        self._luns = 0
        self.start()

    def start(self) -> None:
        """Returns when it serves what was added."""
        command = ["tgtd", "--foreground", "--iscsi", f"portal=127.0.0.1:{self.port}"]
        log = (Path(self._folder) / "log").open("ab")
        with log:
            self._daemon = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + PATIENCE
        while not self._answers():
            if self._daemon.poll() is not None or time.monotonic() > until:
                log_text = (Path(self._folder) / "log").read_text()
                self.close()
                raise RuntimeError(f"tgtd does not start: {log_text}")
            time.sleep(0.02)
        for step in self._set_up:
            self.administer(step)

    def _answers(self) -> bool:
        command = ["tgtadm", "--lld", "iscsi", "--op", "show", "--mode", "target"]
        return subprocess.run(command, env=self._environment, capture_output=True).returncode == 0

    def add(self, backing: Path, device_type: str = "disk", *settings: str) -> str:
        """The URL of a new LUN. `settings` are what `tgtadm --op update --params` takes."""
        self._luns += 1
        lun = f"--mode logicalunit --tid 1 --lun {self._luns}"
        steps = [f"--op new {lun} --device-type {device_type} --backing-store {backing}"]
        steps += [f"--op update {lun} --params {setting}" for setting in settings]
        for step in steps:
            self.administer(step)
        self._set_up += steps
        return self.url(self._luns)

    def url(self, lun: int) -> str:
        return f"iscsi://127.0.0.1:{self.port}/{TARGET}/{lun}"

    def administer(self, step: str) -> str:
        """What `tgtadm --lld iscsi` says to these options."""
        command = ["tgtadm", "--lld", "iscsi", *step.split()]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"tgtadm {step}: {done.stderr}")
        return done.stdout

    def kill(self) -> None:
        if self._daemon:
            self._daemon.kill()
            self._daemon.wait()
            self._daemon = None

    def pause(self) -> None:
        """It hangs, with its connections open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._daemon:
            self._daemon.send_signal(number)

    def close(self) -> None:
        """A second call does nothing."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def tape_image(path: Path, megabytes: int = 16) -> Path:
    """A blank tape as tgt has them."""
    options = f"--op new --device-type tape --barcode T00001 --size {megabytes} --type data"
    command = ["tgtimg", *options.split(), "--file", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def free_port() -> int:
    """Below those that the kernel gives to connections: one that tries to reach a daemon which is
    down could be given the very port."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
