"""The other sides: fio on what a user could take instead, QEMU's backend, and bare memory."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pvdrivers.tools.pvbench.compare.model import Measured, Setting, Side
from pvdrivers.tools.pvbench.compare.needs import DISK, FIO, NBDKIT, XEN_QEMU, fio_engine
from pvdrivers.tools.pvbench.compare.ours import RAMP, File, ours
from pvdrivers.tools.pvbench.compare.scratch import FILE_SIZE
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.job import PERCENTILES

BARE = Path(__file__).with_name("bare")
PATIENCE = 30.0  # seconds beyond the time a run was given


def _output(command: list[str], seconds: float) -> str:
    """What a program prints. Raises BenchError, with its last words, when it fails."""
    limit = seconds + PATIENCE
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{Path(command[0]).name} did not end in time") from None
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or [
            "no reason given"
        ]
        raise BenchError(f"{Path(command[0]).name} failed: {words[0]}")
    return done.stdout


# ---- bare


def bare(kind: str, *arguments: int) -> Side:
    """`bare.c`: a ring without validation, eventfds, memcpy. A latency is the one in the middle."""
    latency = kind in ("ring-latency", "eventfd")
    words = [str(n) for n in (PERCENTILES if latency else arguments)]

    def measure(setting: Setting) -> Measured:
        milliseconds = str(int(setting.seconds * 1000))
        printed = json.loads(_output([str(BARE), kind, milliseconds, *words], setting.seconds))
        points = list(zip(map(float, printed["percentiles"]), PERCENTILES, strict=False))
        value = dict(zip(PERCENTILES, printed["percentiles"], strict=True))[50] if latency else None
        return Measured(printed["rate"] if value is None else value, points)

    return Side(f"bare {kind}", measure)


# ---- fio


def _fio(setting: Setting, **options: Any) -> Measured:
    """Operations a second of one fio job, in one thread."""
    job = {
        "name": "peer",
        "thread": 1,
        "time_based": 1,
        "runtime": f"{setting.seconds * 1e6:.0f}us",
        "ramp_time": RAMP,
        "size": FILE_SIZE,
        "percentile_list": ":".join(map(str, PERCENTILES)),
        **options,
    }
    words = [f"--{name}={value}" for name, value in job.items()]
    printed = _output(["fio", "--output-format=json", *words], setting.seconds)
    (result,) = json.loads(printed[printed.index("{") :])["jobs"]
    direction = max((result[name] for name in ("read", "write")), key=lambda d: d["iops"])
    percentiles = direction["clat_ns"].get("percentile", {})
    latency = sorted((float(ns), float(share)) for share, ns in percentiles.items())
    return Measured(direction["iops"], latency)


def fio(engine: str, file: File, **options: Any) -> Side:
    """fio on the same file as ours."""

    def measure(setting: Setting) -> Measured:
        filename = setting.memory_file if file == "memory" else setting.disk_file
        return _fio(setting, ioengine=engine, filename=filename, **options)

    where = "a tmpfs" if file == "memory" else "the disk"
    needs = [FIO, fio_engine(engine), *([DISK] if file == "disk" else [])]
    return Side(f"fio {engine} on {where}", measure, needs)


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


def fio_nbd(**options: Any) -> Side:
    """fio on nbdkit's memory, over a Unix socket, once that holds data."""

    def measure(setting: Setting) -> Measured:
        with _nbdkit() as uri:
            fill = ["fio", "--name=fill", "--ioengine=nbd", f"--uri={uri}", "--rw=write", "--bs=1m"]
            _output([*fill, f"--size={FILE_SIZE}"], 0)
            return _fio(setting, ioengine="nbd", uri=uri, **options)

    return Side("fio nbd on nbdkit memory", measure, [FIO, fio_engine("nbd"), NBDKIT])


# ---- QEMU


def qemu(**options: Any) -> Side:
    """Our blkfront before QEMU's backend, on a raw file on a tmpfs."""
    served = ours(file="memory", backend="qemu", **options)
    return Side("QEMU qdisk, file on a tmpfs", served.measure, [XEN_QEMU])
