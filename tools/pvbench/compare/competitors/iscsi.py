"""iSCSI targets of a file in memory, measured by one initiator: libiscsi's `iscsi-perf`."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from pvdrivers.testing.scsi.tgt import Tgt
from pvdrivers.tools.pvbench.compare.competitors.program import output
from pvdrivers.tools.pvbench.compare.model import Contender, Measured, Need, Setting
from pvdrivers.tools.pvbench.compare.needs import program
from pvdrivers.tools.pvbench.errors import BenchError

DEPTH = 32
BLOCKS = 4096 // 512  # of one read

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


@contextmanager
def _tgt(file: Path) -> Iterator[str]:
    try:
        with Tgt() as san:
            yield san.add(file)
    except RuntimeError as error:
        raise BenchError(str(error)) from None


def _without_root(_: Setting) -> str | None:
    return None if os.geteuid() == 0 else "tgtd needs root"


def tgt() -> Contender:
    needs = [program("tgtd", "tgt"), program("tgtadm", "tgt"), Need(None, _without_root)]
    return _measured_by_iscsi_perf("tgt", _tgt, needs)
