"""How a machine starts: what it costs to make one with its first two domains.

`python -m pvdrivers.tools.pvbench.compare.start TEBIBYTES` prints it.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from pvdrivers.sim import Machine, MemoryExtent, cells
from pvdrivers.tools.pvbench.compare.competitors.program import output
from pvdrivers.tools.pvbench.compare.model import Contender, Measured, Setting
from pvdrivers.tools.pvbench.memory import private_and_tables

CELLS = 16
HOLE = 4  # between two cells: a part of a cell
TIMES = 21
TEBI = 1 << 40


class Start(Struct, frozen=True):
    seconds: float  # the median
    bytes: int  # of the first: the process's own, its page tables, and the machine's


def memory(tebibytes: int) -> list[MemoryExtent]:
    cell = tebibytes * TEBI // CELLS
    return cells(CELLS, cell, cell + cell // HOLE)


def _start(extents: Sequence[MemoryExtent]) -> Machine:
    machine = Machine(extents)
    for privileged in (True, False):
        _ = machine.create_domain(memory="64M", privileged=privileged).hypervisor
    return machine


def measure(tebibytes: int) -> Start:
    extents = memory(tebibytes)
    _start(memory(1)).close()  # what a process takes once
    before = private_and_tables()
    with _start(extents) as machine:
        taken = private_and_tables() - before + machine.resident_memory
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        machine = _start(extents)
        seconds.append(time.perf_counter() - start)
        machine.close()
    return Start(statistics.median(seconds), taken)


def contender(tebibytes: int, reading: Callable[[Start], float]) -> Contender:
    """Each run in a process of its own."""

    def run(setting: Setting) -> Measured:
        command = [sys.executable, "-m", __name__, str(tebibytes)]
        printed = output(command, setting.seconds)
        return Measured(reading(msgspec.json.decode(printed, type=Start)))

    return Contender(f"{tebibytes} TiB", run)


if __name__ == "__main__":
    print(msgspec.json.encode(measure(int(sys.argv[1]))).decode())
