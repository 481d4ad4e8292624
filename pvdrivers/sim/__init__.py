"""The simulated machine: domains, memory with holes, event channels and grants on one computer.

>>> from pvdrivers.sim import Machine
>>> with Machine(memory="64M") as machine:
...     dom0 = machine.create_domain(privileged=True, memory="8M")
...     guest = machine.create_domain(memory="8M")
...     print(guest)
<Domain 1 x86_64 running, 2048 pages of 4096 bytes>
"""

from pvdrivers.sim.domain import Domain, DomainInfo, DomainState, ShutdownReason
from pvdrivers.sim.errors import MachineError
from pvdrivers.sim.machine import FrameTable, Machine, NodeMemory
from pvdrivers.sim.memory_map import MEMORY_MAPS, MemoryExtent, MemoryMap, cells, parse_size
from pvdrivers.sim.pages import OfflineStatus, PageInfo, PageType, PageUse
from pvdrivers.sim.trace import TraceEvent, TraceRecord
from pvdrivers.sim.vcpu import Vcpu

__all__ = [
    "MEMORY_MAPS",
    "Domain",
    "DomainInfo",
    "DomainState",
    "FrameTable",
    "Machine",
    "MachineError",
    "MemoryExtent",
    "MemoryMap",
    "NodeMemory",
    "OfflineStatus",
    "PageInfo",
    "PageType",
    "PageUse",
    "ShutdownReason",
    "TraceEvent",
    "TraceRecord",
    "Vcpu",
    "cells",
    "parse_size",
]
