"""A disk of another process, behind a Unix socket."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pvdrivers.tools.pvbench.compare.competitors.fio import run_fio
from pvdrivers.tools.pvbench.compare.competitors.program import PATIENCE, output
from pvdrivers.tools.pvbench.compare.model import Contender, Measured, Setting
from pvdrivers.tools.pvbench.compare.needs import FIO, NBDKIT, fio_engine
from pvdrivers.tools.pvbench.compare.scratch import FILE_SIZE
from pvdrivers.tools.pvbench.errors import BenchError


@contextmanager
def _nbdkit() -> Iterator[str]:
    """A disk in nbdkit's memory; gives its URI."""
    with tempfile.TemporaryDirectory(prefix="pvbench-") as folder:
        socket = Path(folder) / "nbd"
        command = ["nbdkit", "--foreground", "--unix", str(socket), "memory", str(FILE_SIZE)]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            end = time.monotonic() + PATIENCE
            while not socket.exists():
                if server.poll() is not None or time.monotonic() > end:
                    raise BenchError("nbdkit does not start")
                time.sleep(0.01)
            yield f"nbd+unix:///?socket={socket}"
        finally:
            server.terminate()
            server.communicate()


def fio_nbd(**options: Any) -> Contender:
    """fio on nbdkit's memory, over a Unix socket, once that holds data."""

    def measure(setting: Setting) -> Measured:
        with _nbdkit() as uri:
            fill = ["fio", "--name=fill", "--ioengine=nbd", f"--uri={uri}", "--rw=write", "--bs=1m"]
            output([*fill, f"--size={FILE_SIZE}"], 0)
            return run_fio(setting, ioengine="nbd", uri=uri, **options)

    return Contender("fio nbd on nbdkit memory", measure, [FIO, fio_engine("nbd"), NBDKIT])
