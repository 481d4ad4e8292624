"""Python face of cpupools: CPUs that have a scheduler of their own (cpupool.h)."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.errors import MachineError, check

if TYPE_CHECKING:
    from pvdrivers.sim.machine import Machine

MAX_CPUS = int(lib.PV_SCHED_MAX_CPUS)
MAX_TSLICE_MS = int(lib.PV_SCHED_MAX_TSLICE_MS)
DEFAULT_TSLICE_MS = int(lib.PV_SCHED_DEFAULT_TSLICE_MS)
MIN_RATELIMIT_US = int(lib.PV_SCHED_MIN_RATELIMIT_US)
MAX_RATELIMIT_US = int(lib.PV_SCHED_MAX_RATELIMIT_US)
DEFAULT_RATELIMIT_US = int(lib.PV_SCHED_DEFAULT_RATELIMIT_US)
MAX_MIGRATION_DELAY_US = int(lib.PV_SCHED_MAX_MIGRATION_DELAY_US)
_ANY = int(lib.PV_CPUPOOL_ANY)


class SchedulerKind(IntEnum):
    """domctl.h's XEN_SCHEDULER_*."""

    CREDIT = 5
    CREDIT2 = 6


class Credit2Runqueue(IntEnum):
    """The CPUs of which part of a machine share a runqueue of credit2: Xen's credit2_runqueue=."""

    SOCKET = int(lib.PV_CREDIT2_RUNQUEUE_SOCKET)
    CPU = int(lib.PV_CREDIT2_RUNQUEUE_CPU)
    CORE = int(lib.PV_CREDIT2_RUNQUEUE_CORE)
    NODE = int(lib.PV_CREDIT2_RUNQUEUE_NODE)
    ALL = int(lib.PV_CREDIT2_RUNQUEUE_ALL)


@dataclass(frozen=True, slots=True)
class SchedParams:
    """`tslice_ms` and `migration_delay_us` are the credit scheduler's; credit2 has 0 there."""

    tslice_ms: int = DEFAULT_TSLICE_MS
    ratelimit_us: int = DEFAULT_RATELIMIT_US
    migration_delay_us: int = 0


@dataclass(frozen=True, slots=True)
class CpuPoolInfo:
    """`domains`: how many."""

    pool: int
    scheduler: SchedulerKind
    domains: int
    cpus: Sequence[int]


def cpus_of(mask: Any) -> Sequence[int]:
    """The CPUs whose bits are set in a `uint64_t` array of MAX_CPUS bits, in order."""
    return tuple(cpu for cpu in range(MAX_CPUS) if mask[cpu // 64] >> cpu % 64 & 1)


def mask_of(cpus: Iterable[int]) -> Any:
    """Such an array. UsageError: a CPU that no machine has."""
    mask = ffi.new("uint64_t[]", MAX_CPUS // 64)
    for cpu in cpus:
        if not 0 <= cpu < MAX_CPUS:
            raise UsageError(f"CPU {cpu} is none of 0 to {MAX_CPUS - 1}")
        mask[cpu // 64] |= 1 << cpu % 64
    return mask


def _number(cpu: int | None) -> int:
    if cpu is None:
        return _ANY
    if not 0 <= cpu < MAX_CPUS:
        raise UsageError(f"CPU {cpu} is none of 0 to {MAX_CPUS - 1}")
    return cpu


def _name(cpu: int | None) -> str:
    return "a CPU" if cpu is None else f"CPU {cpu}"


def _first_from(machine: Machine, pool: int) -> CpuPoolInfo | None:
    """Of the pool with the lowest id that is not below this one."""
    info = ffi.new("struct pv_cpupool_info *")
    result = lib.pv_cpupool_get_info(machine.cdata, pool, info)
    if result == -errno.ENOENT:
        return None
    check(result, "cpupools")
    kind = SchedulerKind(info.scheduler)
    return CpuPoolInfo(info.pool, kind, info.domains, cpus_of(info.cpus))


def pool_infos(machine: Machine) -> Iterator[CpuPoolInfo]:
    """Of all pools, by id."""
    info = _first_from(machine, 0)
    while info:
        yield info
        info = _first_from(machine, info.pool + 1)


class CpuPool:
    """A cpupool, by its id. MachineError: as cpupool.h says, ENOENT when there is none."""

    def __init__(self, machine: Machine, pool: int) -> None:
        self._machine = machine
        self.pool = pool

    def __repr__(self) -> str:
        return f"<cpupool {self.pool}>"

    @property
    def info(self) -> CpuPoolInfo:
        info = _first_from(self._machine, self.pool)
        if info is None or info.pool != self.pool:
            raise MachineError(errno.ENOENT, f"there is no cpupool {self.pool}")
        return info

    @property
    def params(self) -> SchedParams:
        """Of its scheduler."""
        params = ffi.new("struct pv_sched_params *")
        what = f"parameters of cpupool {self.pool}"
        check(lib.pv_sched_get_params(self._machine.cdata, self.pool, params), what)
        return SchedParams(params.tslice_ms, params.ratelimit_us, params.migration_delay_us)

    @params.setter
    def params(self, params: SchedParams) -> None:
        c = ffi.new("struct pv_sched_params *", astuple(params))
        what = f"{params} of cpupool {self.pool}"
        check(lib.pv_sched_set_params(self._machine.cdata, self.pool, c), what)

    def add_cpu(self, cpu: int | None = None) -> None:
        """A free CPU, the first one if none is named."""
        what = f"adding {_name(cpu)} to cpupool {self.pool}"
        check(lib.pv_cpupool_add_cpu(self._machine.cdata, self.pool, _number(cpu)), what)

    def remove_cpu(self, cpu: int | None = None) -> None:
        """One of its CPUs, the last one if none is named. EBUSY: a domain needs it."""
        what = f"removing {_name(cpu)} from cpupool {self.pool}"
        check(lib.pv_cpupool_remove_cpu(self._machine.cdata, self.pool, _number(cpu)), what)

    def move_domain(self, domid: int) -> None:
        """The domain runs here from now on, with the default weight, no cap and no affinity."""
        what = f"moving domain {domid} to cpupool {self.pool}"
        check(lib.pv_cpupool_move_domain(self._machine.cdata, self.pool, domid), what)

    def destroy(self) -> None:
        """EBUSY: it has domains or CPUs."""
        what = f"destroying cpupool {self.pool}"
        check(lib.pv_cpupool_destroy(self._machine.cdata, self.pool), what)
