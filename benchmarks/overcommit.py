"""What weights, caps, BOOST and pinning do to the latency of a disk: the tables of
docs/overcommit.md.

    python benchmarks/overcommit.py
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.sim.vcpu_loop import compute, run_as
from pvdrivers.testing.shared_cpus import ONE_VCPU, SharedCpus, VcpuShare
from pvdrivers.testing.vbd.loopback import VbdLoopback

READS = 1000
PAUSE = 0.005  # seconds between two, on average
SETTLE = 1.0  # seconds in which domains earn what connecting has cost
MS = 1_000_000
make_store = partial(RamStore, 1 << 20)


@dataclass(frozen=True)
class Case:
    name: str
    neighbours: int = 4
    cpus: int = 1
    guest_computes: bool = False
    dom0_computes: bool = False
    guest: VcpuShare = ONE_VCPU
    dom0: VcpuShare = ONE_VCPU
    neighbour: VcpuShare = ONE_VCPU

    def latencies(self) -> list[int]:
        """ns of reads of 4 KiB, ascending, from the moment at which each was due."""

        async def scenario(frontend: Any) -> list[int]:
            for _ in range(self.neighbours):
                loopback.add_neighbour(self.neighbour)
            busy = (loopback.guest, self.guest_computes), (loopback.dom0, self.dom0_computes)
            programs = [
                asyncio.create_task(run_as(domain, compute(1 << 60)))
                for domain, computes in busy
                if computes
            ]
            await asyncio.sleep(SETTLE)
            found = []
            for number in range(READS):
                pause = loopback.loop.rng.expovariate(1 / PAUSE)
                due = loopback.machine.now + round(pause * 1e9)
                await asyncio.sleep(pause)
                await frontend.read(8 * (number % 256), 8)
                found.append(loopback.machine.now - due)
            for program in programs:
                program.cancel()
            return sorted(found)

        shared = SharedCpus(self.cpus, dom0=self.dom0, guest=self.guest)
        with VbdLoopback(make_store, mode="deterministic", cpus=shared) as loopback:
            return loopback.run(scenario)


def pinned(cpu: int) -> VcpuShare:
    return VcpuShare(cpus=(cpu,))


TABLES: dict[str, Sequence[Case]] = {
    "A guest that waits for its disk": [
        Case(f"neighbours: {count}", neighbours=count) for count in (0, 1, 2, 4, 8)
    ],
    "A guest that computes as well": [
        Case(f"neighbours: {count}", neighbours=count, guest_computes=True)
        for count in (0, 1, 2, 4, 8)
    ],
    "The same with 4 neighbours and a weight": [
        Case(f"weight {weight}", guest_computes=True, guest=VcpuShare(weight=weight))
        for weight in (128, 256, 512, 1024, 4096)
    ],
    "The same with a CPU of its own and a cap": [
        Case(
            f"cap {cap} %" if cap else "no cap",
            neighbours=0,
            cpus=2,
            guest_computes=True,
            guest=VcpuShare(cap=cap),
        )
        for cap in (0, 80, 50, 20)
    ],
    "A guest that waits for its disk, and a dom0 that computes": [
        Case("dom0's weight 256", cpus=2, dom0_computes=True),
        Case("dom0's weight 1024", cpus=2, dom0_computes=True, dom0=VcpuShare(weight=1024)),
        Case("dom0's weight 4096", cpus=2, dom0_computes=True, dom0=VcpuShare(weight=4096)),
        Case(
            "dom0 alone on its CPU",
            cpus=2,
            dom0_computes=True,
            guest=pinned(0),
            dom0=pinned(1),
            neighbour=pinned(0),
        ),
    ],
}


def figure(ns: int) -> str:
    unit, scale = ("s", 1000 * MS) if ns >= 1000 * MS else ("ms", MS) if ns >= MS else ("µs", 1000)
    return f"{ns / scale:.3g} {unit}"


def main() -> None:
    for title, cases in TABLES.items():
        print(f"\n| {title} | median | 90 % | 99 % | longest |\n|---|---|---|---|---|", flush=True)
        for case in cases:
            found = case.latencies()
            places = (0.5, 0.9, 0.99, 1)
            figures = (figure(found[int(place * (READS - 1))]) for place in places)
            print(f"| {case.name} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
