"""Where the time of a 4 KiB read goes: a stage's cost is the time that leaving it out saves."""

from itertools import pairwise
from typing import Any

from pvdrivers.tools.pvbench.compare.model import Comparison, Contender, Measured, Setting
from pvdrivers.tools.pvbench.compare.ours import job, operations, run
from pvdrivers.tools.pvbench.errors import BenchError

READ: dict[str, Any] = {"rw": "randread", "bs": "4k", "iodepth": 32}
# Each step does all that the one before does, and one thing more.
STEPS: dict[str, dict[str, Any]] = {
    "ring, checks, grants": {"store": "null", "mem": "granted"},
    "backend's copy": {"store": "ram", "mem": "granted"},
    "frontend's copy": {"store": "ram", "mem": "malloc"},
}


def measure(setting: Setting) -> Measured:
    rates = [operations(run(job(setting, **READ, **step))) for step in STEPS.values()]
    if not all(rates):
        raise BenchError("not one read has ended in the time of a run")
    taken = [1e9 / rate for rate in rates]
    stages = [taken[0], *(after - before for before, after in pairwise(taken))]
    return Measured(taken[-1], stages=dict(zip(STEPS, stages, strict=True)))


comparison = Comparison(
    workload="4 KiB random read, QD32, by stages",
    unit="ns",
    ours=Contender("pvdrivers", measure),
)
