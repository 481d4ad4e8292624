"""What a loopback's domains get of the CPUs of their machine."""

from __future__ import annotations

from dataclasses import dataclass

from pvdrivers.sim import Domain
from pvdrivers.sim.cost_model import CostModel
from pvdrivers.sim.scheduler import DEFAULT_WEIGHT, SchedDomain


@dataclass(frozen=True, slots=True)
class VcpuShare:
    """A domain's vcpus; `weight` counts for each, `cap` is percent of one CPU, 0 for none. `cpus`:
    those that they may run on; () for all."""

    vcpus: int = 1
    weight: int = DEFAULT_WEIGHT
    cap: int = 0
    cpus: tuple[int, ...] = ()

    def apply(self, domain: Domain) -> None:
        scheduler = domain.machine.scheduler
        scheduler.set_domain(domain.domid, SchedDomain(self.weight, self.cap))
        if self.cpus:
            for vcpu in range(self.vcpus):
                scheduler.set_affinity(domain.domid, vcpu, self.cpus)


ONE_VCPU = VcpuShare()


@dataclass(frozen=True, slots=True)
class SharedCpus:
    """A machine's CPUs, on which domains run as the scheduler decides."""

    cpus: int
    dom0: VcpuShare = ONE_VCPU
    guest: VcpuShare = ONE_VCPU  # each, unless it is made with a share of its own
    cost_model: CostModel | None = None  # the measured one
