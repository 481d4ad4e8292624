"""Guests that compute, and the shares that they should have."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pvdrivers.sim import Machine
from pvdrivers.sim.cpupool import SchedulerKind
from pvdrivers.sim.memory_map import GIB, MemoryExtent
from pvdrivers.sim.scheduler import FOR_EVER, SchedDomain, Scheduler

MS = 1_000_000
S = 1_000 * MS


@contextmanager
def machine_with(
    cpus: int,
    domains: int,
    vcpus: int = 1,
    *,
    nodes: int = 1,
    **settings: Any,
) -> Iterator[Machine]:
    """Domains 0 to `domains` - 1, which do nothing yet. `settings` are the machine's."""
    memory = [MemoryExtent(node * GIB, GIB, node) for node in range(nodes)]
    with Machine(memory, max_domains=domains, virtual_time=True, cpus=cpus, **settings) as machine:
        for _ in range(domains):
            machine.create_domain(memory="64K", vcpus=vcpus)
        yield machine


def run_to(scheduler: Scheduler, end: int) -> None:
    while scheduler.run(end):
        pass


def compute(machine: Machine, domids: Sequence[int], ns: int) -> list[float]:
    """The domains compute for so long; how many CPUs each had on average."""
    scheduler, start = machine.scheduler, machine.now
    before = {domid: scheduler.run_state(domid, 0).running for domid in domids}
    for domid in domids:
        scheduler.demand(domid, 0, FOR_EVER)
    scheduler.run(start + ns)
    return [(scheduler.run_state(domid, 0).running - before[domid]) / ns for domid in domids]


def latency(machine: Machine, domid: int, work: int) -> int:
    """ns from a wake-up until it has computed for `work` ns."""
    scheduler, start = machine.scheduler, machine.now
    scheduler.demand(domid, 0, work)
    while not any(done.domid == domid for done in scheduler.run(start + 10 * S)):
        assert machine.now < start + 10 * S
    return machine.now - start


def fair_shares(cpus: int, settings: Sequence[SchedDomain]) -> list[float]:
    """What the formula says: by weight; nobody more than one CPU or its cap, and what that leaves
    goes to the others by weight."""
    limits = [min(1, each.cap / 100) if each.cap else 1.0 for each in settings]
    shares = dict[int, float]()
    left = float(cpus)
    open_ones = set(range(len(settings)))
    while open_ones:
        weight = sum(settings[i].weight for i in open_ones)
        full = {i for i in open_ones if left * settings[i].weight / weight >= limits[i]}
        if not full:
            return [shares.get(i, left * settings[i].weight / weight) for i in range(len(settings))]
        for i in full:
            shares[i] = limits[i]
        left -= sum(limits[i] for i in full)
        open_ones -= full
    return [shares[i] for i in range(len(settings))]


def shares_beside_interrupts(
    domains: Sequence[SchedDomain], ns: int, scheduler: SchedulerKind = SchedulerKind.CREDIT
) -> list[float]:
    """Of one CPU. Alone, guests that compute change places in step with the accounting, which
    favours some weights by 4 %. A guest that wakes now and then ends that, as the interrupts of a
    real machine do."""
    with machine_with(1, len(domains) + 1, scheduler=scheduler) as machine:
        for domid, each in enumerate(domains):
            machine.scheduler.set_domain(domid, each)
            machine.scheduler.demand(domid, 0, FOR_EVER)
        for end in range(7_300_000, ns, 7_300_000):
            machine.scheduler.demand(len(domains), 0, 10_000)
            run_to(machine.scheduler, end)
        states = [machine.scheduler.run_state(domid, 0) for domid in range(len(domains))]
        return [state.running / machine.now for state in states]
