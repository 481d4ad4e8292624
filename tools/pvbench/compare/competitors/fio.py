"""fio on a file."""

import json
from typing import Any

from pvdrivers.tools.pvbench.compare.competitors.program import output
from pvdrivers.tools.pvbench.compare.model import Contender, Measured, Setting
from pvdrivers.tools.pvbench.compare.needs import DISK, FIO, fio_engine
from pvdrivers.tools.pvbench.compare.ours import RAMP, File
from pvdrivers.tools.pvbench.compare.scratch import FILE_SIZE
from pvdrivers.tools.pvbench.job.job import PERCENTILES


def run_fio(setting: Setting, **options: Any) -> Measured:
    """Operations a second of one fio job, in one thread.

    Latencies only where it has an iodepth, as ours: a synchronous engine has one operation
    outstanding, whose latency is no match for that of one among many.
    """
    job = {
        "name": "fio",
        "thread": 1,
        "time_based": 1,
        "runtime": f"{setting.seconds * 1e6:.0f}us",
        "ramp_time": RAMP,
        "size": FILE_SIZE,
        "lat_percentiles": 1,  # from submission on, as ours
        "clat_percentiles": 0,
        "percentile_list": ":".join(map(str, PERCENTILES)),
        **options,
    }
    words = [f"--{name}={value}" for name, value in job.items()]
    printed = output(["fio", "--output-format=json", *words], setting.seconds)
    (result,) = json.loads(printed[printed.index("{") :])["jobs"]
    direction = max((result[name] for name in ("read", "write")), key=lambda d: d["iops"])
    percentiles = direction["lat_ns"].get("percentile", {})
    latency = sorted((float(ns), float(share)) for share, ns in percentiles.items())
    return Measured(direction["iops"], latency if "iodepth" in options else [])


def fio(engine: str, file: File, **options: Any) -> Contender:
    """fio on the same file as ours."""

    def measure(setting: Setting) -> Measured:
        filename = setting.memory_file if file == "memory" else setting.disk_file
        return run_fio(setting, ioengine=engine, filename=filename, **options)

    where = "a tmpfs" if file == "memory" else "the disk"
    needs = [FIO, fio_engine(engine), *([DISK] if file == "disk" else [])]
    return Contender(f"fio {engine} on {where}", measure, needs)
