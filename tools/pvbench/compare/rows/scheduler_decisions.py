"""How fast the CPU scheduler decides in virtual time, on one core."""

import time

from pvdrivers.sim.cpupool import SchedParams
from pvdrivers.sim.machine import Machine
from pvdrivers.sim.scheduler import FOR_EVER, SchedDomain
from pvdrivers.tools.pvbench.compare.model import Comparison, Contender, Measured, Setting

CPUS = 8
GUESTS = 100  # that compute, with three weights; each tenth has a cap
STEP = 100_000_000  # ns of virtual time between two looks at the clock


def measure(setting: Setting) -> Measured:
    with Machine(max_domains=GUESTS, virtual_time=True, cpus=CPUS) as machine:
        scheduler = machine.scheduler
        scheduler.pool(0).params = SchedParams(tslice_ms=1)
        for guest in range(GUESTS):
            domid = machine.create_domain(memory="64K").domid
            settings = SchedDomain(256 << guest % 3, 0 if guest % 10 else 5)
            scheduler.set_domain(domid, settings)
            scheduler.demand(domid, 0, FOR_EVER)
        start = time.process_time()
        while (taken := time.process_time() - start) < setting.seconds:
            scheduler.run(machine.now + STEP)
        return Measured(scheduler.stats.decisions / taken)


comparison = Comparison(
    workload=f"{GUESTS} guests that compute on {CPUS} CPUs, slices of 1 ms: decisions of the CPUs",
    unit="operations/s",
    ours=Contender("pvdrivers", measure),
    target=1_000_000,
)
