"""Memory and the kernel alone: `bare.c`."""

import json
from pathlib import Path

from pvdrivers.tools.pvbench.compare.competitors.program import output
from pvdrivers.tools.pvbench.compare.model import Contender, Measured, Setting
from pvdrivers.tools.pvbench.job.job import PERCENTILES

BARE = Path(__file__).with_name("bare")


def bare(kind: str, *arguments: int) -> Contender:
    """`bare.c`: rings without validation, eventfds, memcpy. A latency is the one in the middle."""
    latency = kind in ("ring-latency", "net-latency", "eventfd")
    words = [str(n) for n in (*arguments, *(PERCENTILES if latency else ()))]

    def measure(setting: Setting) -> Measured:
        milliseconds = str(int(setting.seconds * 1000))
        printed = json.loads(output([str(BARE), kind, milliseconds, *words], setting.seconds))
        if not latency:
            return Measured(printed["rate"])
        found = [float(ns) for ns in printed["percentiles"]]
        value = found[PERCENTILES.index(50)]
        return Measured(value, list(zip(found, PERCENTILES, strict=True)))

    return Contender(f"bare {kind}", measure)
