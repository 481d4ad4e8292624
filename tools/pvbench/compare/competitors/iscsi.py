"""iSCSI targets of a file in memory, measured by one initiator: libiscsi's `iscsi-perf`."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from pvdrivers.tools.pvbench.compare.competitors.program import PATIENCE, output
from pvdrivers.tools.pvbench.compare.model import Contender, Measured, Need, Setting
from pvdrivers.tools.pvbench.compare.needs import program
from pvdrivers.tools.pvbench.errors import BenchError

DEPTH = 32
BLOCKS = 4096 // 512  # of one read
NAME = "iqn.2012-04.org.pvdrivers:compare"

Serve = Callable[[Path], AbstractContextManager[str]]  # a file; gives the URL of its LUN


def _measured_by_iscsi_perf(name: str, serve: Serve, needs: list[Need]) -> Contender:
    def measure(setting: Setting) -> Measured:
        seconds = max(1, round(setting.seconds))
        command = ["iscsi-perf", "-m", str(DEPTH), "-b", str(BLOCKS), "-r", "-t", str(seconds)]
        with serve(setting.memory_file) as url:
            printed = output([*command, url], seconds)
        averages = re.findall(r"iops average (\d+)", printed)
        if not averages:
            raise BenchError("iscsi-perf gives no average")
        return Measured(float(averages[-1]))

    return Contender(name, measure, [program("iscsi-perf", "libiscsi-bin"), *needs])


# ---- ours --------------------------------------------------------------------------------------


@contextmanager
def _pvbridge(file: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "pvdrivers.tools.pvbridge", "iscsi", "--listen=127.0.0.1:0"]
    server = subprocess.Popen(
        [*command, f"--lun=0={file}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout
        url = server.stdout.readline().strip()
        if not url:
            raise BenchError("pvbridge does not start")
        yield url
    finally:
        server.terminate()
        server.communicate()


def pvbridge() -> Contender:
    return _measured_by_iscsi_perf("pvdrivers", _pvbridge, [])


# ---- tgt ---------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _tgt(file: Path) -> Iterator[str]:
    """A tgtd that no other knows of: its control socket has this process's number."""
    port, instance = _free_port(), ["-C", str(os.getpid() % 32768)]
    portal = ["--iscsi", f"portal=127.0.0.1:{port}"]
    with ExitStack() as stack:
        daemon = subprocess.Popen(
            ["tgtd", "-f", *instance, *portal],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(daemon.wait)
        stack.callback(daemon.kill)  # it may ignore SIGTERM
        administer = ["tgtadm", *instance, "--lld=iscsi"]
        _try_until_done([*administer, "--op=new", "--mode=target", "--tid=1", f"-T{NAME}"], daemon)
        unit = ["--op=new", "--mode=logicalunit", "--tid=1", "--lun=1", f"-b{file}"]
        output([*administer, *unit], 0)
        output([*administer, "--op=bind", "--mode=target", "--tid=1", "-IALL"], 0)
        yield f"iscsi://127.0.0.1:{port}/{NAME}/1"


def _try_until_done(command: list[str], daemon: "subprocess.Popen[bytes]") -> None:
    """The daemon is asked for the first time, and may not be there yet."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            output(command, 0)
            return
        except BenchError:
            if daemon.poll() is not None or time.monotonic() > end:
                raise BenchError("tgtd does not start") from None
        time.sleep(0.05)


def _without_root(_: Setting) -> str | None:
    return None if os.geteuid() == 0 else "tgtd needs root"


def tgt() -> Contender:
    needs = [program("tgtd", "tgt"), program("tgtadm", "tgt"), Need(None, _without_root)]
    return _measured_by_iscsi_perf("tgt", _tgt, needs)
