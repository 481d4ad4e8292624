"""A guest of 1 TiB on a machine of 64 TiB with holes: how long it takes, and its frame table."""

import time

from pvdrivers.sim import Machine
from pvdrivers.tools.pvbench.compare.model import Contender, Measured, Setting

MAP = "primequest-64t"
MEMORY = "1T"


def _seconds(_: Setting) -> Measured:
    with Machine(MAP) as machine:
        start = time.perf_counter()
        machine.create_domain(memory=MEMORY)
        return Measured(time.perf_counter() - start)


def _resident(_: Setting) -> Measured:
    with Machine(MAP) as machine:
        machine.create_domain(memory=MEMORY)
        return Measured(machine.frame_table.resident)


def _dense(_: Setting) -> Measured:
    with Machine(MAP) as machine:
        return Measured(machine.frame_table.dense)


until_populated = Contender("1 TiB", _seconds)
frame_table = Contender("frame table", _resident)
dense_table = Contender("dense table, computed", _dense)
