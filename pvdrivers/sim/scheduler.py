"""Python face of a machine's CPU scheduler; the scheduler itself is C (sched.h)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.cpupool import (
    MAX_CPUS,
    CpuPool,
    CpuPoolInfo,
    SchedulerKind,
    cpus_of,
    mask_of,
    pool_infos,
)
from pvdrivers.sim.errors import check

if TYPE_CHECKING:
    from pvdrivers.sim.machine import Machine

MIN_WEIGHT = int(lib.PV_SCHED_MIN_WEIGHT)
MAX_WEIGHT = int(lib.PV_SCHED_MAX_WEIGHT)
DEFAULT_WEIGHT = int(lib.PV_SCHED_DEFAULT_WEIGHT)
FOR_EVER = (1 << 64) - 1  # ns, as a demand; of an event: never
_BATCH = 64  # vcpus that may be done at the same time and are reported by one call


class RunState(IntEnum):
    """vcpu.h's RUNSTATE_*."""

    RUNNING = 0
    RUNNABLE = 1
    BLOCKED = 2
    OFFLINE = 3


@dataclass(frozen=True, slots=True)
class VcpuRunState:
    """What a vcpu does since `entered`, and ns in each state until now. `cpu`: the one that it runs
    on, or last waited for."""

    state: RunState
    cpu: int
    entered: int
    running: int
    runnable: int  # it waits for a CPU: what guests call steal
    blocked: int  # it wants nothing
    offline: int  # it wants to run, but is paused or has used up its cap


@dataclass(frozen=True, slots=True)
class SchedDomain:
    """`weight` counts for each active vcpu; `cap` is percent of one CPU, 0 for none."""

    weight: int = DEFAULT_WEIGHT
    cap: int = 0


@dataclass(frozen=True, slots=True)
class Affinity:
    """`hard`: the CPUs on which a vcpu may run. `soft`: those on which it would rather run."""

    hard: Sequence[int]
    soft: Sequence[int]


@dataclass(frozen=True, slots=True)
class SchedStats:
    """Counted since the machine was made; sched.h says what."""

    decisions: int
    switches: int
    steals: int
    boosts: int


@dataclass(frozen=True, slots=True)
class Done:
    """A vcpu has had the CPU time that it wanted, at `time` (ns)."""

    time: int
    domid: int
    vcpu: int


class Scheduler:
    """The CPUs of a machine. MachineError: ENODEV, the machine has none; of `demand` and `run` also
    in real time, when nothing is scheduled (sched.h says what is counted)."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._done = ffi.new("struct pv_sched_done[]", _BATCH)

    # ---- CPUs --------------------------------------------------------------------------------

    def pool(self, pool: int) -> CpuPool:
        """The cpupool with this id; 0 is there from the start."""
        return CpuPool(self._machine, pool)

    @property
    def pools(self) -> Sequence[CpuPoolInfo]:
        return tuple(pool_infos(self._machine))

    def create_pool(
        self, scheduler: SchedulerKind = SchedulerKind.CREDIT, *, pool: int | None = None
    ) -> CpuPool:
        """A cpupool without CPUs; its id is a new one if none is given. EEXIST: it is taken."""
        number = ffi.new("uint32_t *", lib.PV_CPUPOOL_ANY if pool is None else pool)
        result = lib.pv_cpupool_create(self._machine.cdata, number, scheduler)
        check(result, "creating a cpupool" if pool is None else f"creating cpupool {pool}")
        return CpuPool(self._machine, number[0])

    @property
    def free_cpus(self) -> Sequence[int]:
        """Those of no cpupool."""
        mask = ffi.new("uint64_t[]", MAX_CPUS // 64)
        check(lib.pv_cpupool_get_free(self._machine.cdata, mask), "free CPUs")
        return cpus_of(mask)

    @property
    def stats(self) -> SchedStats:
        stats = ffi.new("struct pv_sched_stats *")
        check(lib.pv_sched_get_stats(self._machine.cdata, stats), "scheduler statistics")
        return SchedStats(stats.decisions, stats.switches, stats.steals, stats.boosts)

    def idle_time(self, cpu: int) -> int:
        """ns that the CPU has run nobody."""
        time = ffi.new("uint64_t *")
        check(lib.pv_sched_get_idle_time(self._machine.cdata, cpu, time), f"CPU {cpu}")
        return int(time[0])

    # ---- Domains and vcpus -------------------------------------------------------------------

    def domain(self, domid: int) -> SchedDomain:
        settings = ffi.new("struct pv_sched_domain *")
        check(lib.pv_sched_get_domain(self._machine.cdata, domid, settings), f"domain {domid}")
        return SchedDomain(settings.weight, settings.cap)

    def set_domain(self, domid: int, settings: SchedDomain) -> None:
        if settings.weight < 0 or settings.cap < 0:
            raise UsageError(f"{settings}: a weight or a cap is not negative")
        c = ffi.new("struct pv_sched_domain *", (settings.weight, settings.cap))
        what = f"{settings} of domain {domid}"
        check(lib.pv_sched_set_domain(self._machine.cdata, domid, c), what)

    def pool_of(self, domid: int) -> CpuPool:
        """The cpupool on which it runs."""
        pool = ffi.new("uint32_t *")
        check(lib.pv_cpupool_of_domain(self._machine.cdata, domid, pool), f"domain {domid}")
        return CpuPool(self._machine, pool[0])

    def affinity(self, domid: int, vcpu: int) -> Affinity:
        """As far as its cpupool has these CPUs."""
        hard, soft = ffi.new("uint64_t[]", MAX_CPUS // 64), ffi.new("uint64_t[]", MAX_CPUS // 64)
        what = f"affinity of domain {domid} vcpu {vcpu}"
        check(lib.pv_vcpu_get_affinity(self._machine.cdata, domid, vcpu, hard, soft), what)
        return Affinity(cpus_of(hard), cpus_of(soft))

    def set_affinity(
        self,
        domid: int,
        vcpu: int,
        hard: Iterable[int] | None = None,
        soft: Iterable[int] | None = None,
    ) -> None:
        """The CPUs on which it may run from now on, one of its cpupool's at least, and those of
        them on which it would rather run; None: as before."""
        what = f"affinity of domain {domid} vcpu {vcpu}"
        masks = [ffi.NULL if cpus is None else mask_of(cpus) for cpus in (hard, soft)]
        check(lib.pv_vcpu_set_affinity(self._machine.cdata, domid, vcpu, *masks), what)

    def run_state(self, domid: int, vcpu: int) -> VcpuRunState:
        state = ffi.new("struct pv_vcpu_runstate *")
        what = f"domain {domid} vcpu {vcpu}"
        check(lib.pv_vcpu_get_runstate(self._machine.cdata, domid, vcpu, state), what)
        entered = state.state_entry_time
        return VcpuRunState(RunState(state.state), state.cpu, entered, *state.time)

    def demand(self, domid: int, vcpu: int, ns: int) -> None:
        """The vcpu wants so much more CPU time, and wakes if it is blocked."""
        what = f"domain {domid} vcpu {vcpu}"
        check(lib.pv_vcpu_demand(self._machine.cdata, domid, vcpu, ns), what)

    # ---- Time --------------------------------------------------------------------------------

    def run(self, until: int) -> list[Done]:
        """Moves virtual time on, to `until` (ns) at most, and stops at the first time at which
        vcpus have had what they wanted. Those that want nothing more when it goes on block."""
        count = check(
            lib.pv_sched_run(self._machine.cdata, until, self._done, _BATCH), f"running to {until}"
        )
        return [Done(done.time, done.domid, done.vcpu) for done in self._done[0:count]]
