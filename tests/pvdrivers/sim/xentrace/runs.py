"""A machine whose guests compute, block and are disturbed, traced."""

import io
import random
from collections.abc import Callable

from pvdrivers.sim import Machine
from pvdrivers.sim.cpupool import SchedulerKind
from pvdrivers.sim.scheduler import FOR_EVER, SchedDomain

MS = 1_000_000
CPUS = 2
VCPUS = ((0, 0), (1, 0), (1, 1), (2, 0), (3, 0), (3, 1))


def create_domains(machine: Machine) -> None:
    for domid in range(4):
        machine.create_domain(memory="1M", vcpus=1 + domid % 2, privileged=domid == 0)


def live(machine: Machine, ns: int, seed: int, each: Callable[[], object] = lambda: None) -> None:
    """Domain 2 computes for ever, under a cap; 0, 1 and 3 now and then."""
    rng, scheduler = random.Random(seed), machine.scheduler
    scheduler.set_domain(2, SchedDomain(cap=60))
    scheduler.demand(2, 0, FOR_EVER)
    while machine.now < ns:
        for domid, vcpu, chance in ((0, 0, 1.0), (3, 1, 0.3), (1, 0, 0.1), (1, 1, 0.2)):
            if rng.random() < chance:
                scheduler.demand(domid, vcpu, rng.randrange(50_000, 12 * MS))
        if rng.random() < 0.1:
            machine.domain(3).vcpu(1).yield_()
        if rng.random() < 0.05:
            machine.domain(1).pause()
            machine.domain(1).unpause()
        end = machine.now + rng.randrange(MS, 20 * MS)
        while scheduler.run(end):
            pass
        each()


def trace(
    kind: SchedulerKind = SchedulerKind.CREDIT,
    *,
    seconds: float = 1,
    seed: int = 1,
    pages: int = 256,
    save: Callable[[], bool] = lambda: False,
    after: Callable[[Machine], object] = lambda machine: None,
) -> bytes:
    """What `xentrace` would have written; `save`: whether to take what is there yet. In the end
    all domains are paused, and `after` is given the machine."""
    file = io.BytesIO()
    with Machine("64M", max_domains=8, virtual_time=True, cpus=CPUS, scheduler=kind) as machine:
        machine.xentrace.start(pages)

        def each() -> None:
            if save():
                machine.xentrace.save(file)

        create_domains(machine)
        live(machine, round(seconds * 1000) * MS, seed, each)
        for domid in range(4):
            machine.domain(domid).pause()
        machine.xentrace.save(file)
        after(machine)
    return file.getvalue()
