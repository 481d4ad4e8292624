"""What a host with few CPUs does to a device: its latency, its throughput, and who gets what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from statistics import median
from typing import Any

import pytest

from pvdrivers.backends.stores.store import RamStore
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain
from pvdrivers.sim.cost_model import CostModel
from pvdrivers.sim.loop import NothingCanRun
from pvdrivers.sim.vcpu_loop import compute, run_as
from pvdrivers.testing.shared_cpus import SharedCpus, VcpuShare
from pvdrivers.testing.vbd.loopback import VbdLoopback

US, MS = 1_000, 1_000_000
SLICE = 30 * MS
make_store = partial(RamStore, 1 << 20)


def loopback_with(cpus: SharedCpus, seed: int = 1) -> VbdLoopback:
    return VbdLoopback(make_store, mode="deterministic", seed=seed, cpus=cpus)


def ran(domain: Domain) -> int:
    """ns that its only vcpu has had a CPU."""
    return domain.machine.scheduler.run_state(domain.domid, 0).running


async def compute_for_ever() -> None:
    while True:
        await compute(MS)


def latencies(
    *,
    cpus: int = 1,
    neighbours: Iterable[VcpuShare] = (),
    computes: bool = False,
    guest: VcpuShare | None = None,
    reads: int = 40,
    seed: int = 1,
) -> list[int]:
    """ns of each of several reads of a guest, which `computes` besides or sleeps between them."""

    async def scenario(frontend: Any) -> list[int]:
        for share in neighbours:
            loopback.add_neighbour(share)
        program = asyncio.create_task(compute_for_ever()) if computes else None
        await asyncio.sleep(1)  # what was spent on connecting has been earned again
        found = []
        for number in range(reads):
            start = loopback.machine.now
            await frontend.read(8 * number, 8)
            found.append(loopback.machine.now - start)
            await asyncio.sleep(0.005)
        if program:
            program.cancel()
        return found

    with loopback_with(SharedCpus(cpus, guest=guest or VcpuShare()), seed) as loopback:
        return loopback.run(scenario)


def test_a_read_costs_what_both_domains_do_for_it() -> None:
    alone = latencies()
    assert 2 * US < median(alone) < 20 * US  # two world switches, and little else


def test_boost_hides_neighbours_that_compute() -> None:
    alone, beside = latencies(), latencies(neighbours=[VcpuShare()] * 4)
    assert max(beside) <= max(alone) + MS  # the rate limit


def test_a_guest_that_computes_too_has_no_boost_and_waits_for_slices() -> None:
    alone = latencies(computes=True)
    beside = latencies(computes=True, neighbours=[VcpuShare()] * 4)
    assert max(alone) < MS
    assert max(beside) >= SLICE
    assert median(beside) >= 5 * MS


def test_a_cpu_more_for_each_takes_the_waiting_away() -> None:
    crowded = latencies(computes=True, neighbours=[VcpuShare()] * 4)
    roomy = latencies(computes=True, neighbours=[VcpuShare()] * 4, cpus=6)
    assert max(roomy) < MS < max(crowded)


def test_weight_shortens_the_waiting() -> None:
    neighbours = [VcpuShare()] * 4
    usual = latencies(computes=True, neighbours=neighbours)
    heavy = latencies(computes=True, neighbours=neighbours, guest=VcpuShare(weight=2048))
    assert sum(heavy) < 0.7 * sum(usual)


def test_a_cap_of_the_backend_is_a_limit_of_its_disks() -> None:
    """Each read costs dom0 the same, so a tenth of a CPU is a number of reads a second."""

    def reads_with(cap: int) -> tuple[int, int]:
        async def scenario(frontend: Any) -> tuple[int, int]:
            count = 0

            async def read_on() -> None:
                nonlocal count
                while True:
                    await frontend.read(0, 8)
                    count += 1

            used = ran(loopback.dom0)
            readers = [asyncio.create_task(read_on()) for _ in range(8)]
            await asyncio.sleep(0.3)
            for reader in readers:
                reader.cancel()
            return count, ran(loopback.dom0) - used

        slow = CostModel(callback=50 * US)
        with loopback_with(SharedCpus(2, dom0=VcpuShare(cap=cap), cost_model=slow)) as loopback:
            return loopback.run(scenario)

    free, capped = reads_with(0), reads_with(10)
    assert capped[1] < 60 * MS < 120 * MS < free[1]  # of 300 ms; a slice is not capped at first
    assert capped[0] < free[0] / 2


def test_the_same_seed_gives_the_same_times() -> None:
    neighbours = [VcpuShare()] * 2
    first, again, other = (
        latencies(computes=True, neighbours=neighbours, reads=20, seed=seed) for seed in (3, 3, 4)
    )
    assert first == again
    assert other  # the seed moves the order of events, which need not move these times


def test_each_guest_has_a_share_of_its_own() -> None:
    async def scenario(frontend: Any) -> None:
        second = await loopback.add_guest(VcpuShare(weight=768))
        other = await second.frontend()
        await other.write(0, b"x" * 512)
        assert await frontend.read(0, 1) == b"x" * 512
        scheduler = loopback.machine.scheduler
        assert scheduler.domain(loopback.guest.domid).weight == 256
        assert scheduler.domain(second.domain.domid).weight == 768
        programs = [
            asyncio.create_task(run_as(domain, compute_for_ever()))
            for domain in (loopback.guest, second.domain)
        ]
        before = ran(loopback.guest), ran(second.domain)
        await asyncio.sleep(3)
        after = ran(loopback.guest), ran(second.domain)
        for program in programs:
            program.cancel()
        shares = [(new - old) / 3e9 for new, old in zip(after, before, strict=True)]
        assert shares == pytest.approx([0.25, 0.75], abs=0.03)

    with loopback_with(SharedCpus(1)) as loopback:
        loopback.run(scenario)


def test_what_the_domains_cost_is_what_they_ran() -> None:
    async def scenario(frontend: Any) -> None:
        for number in range(30):
            await frontend.write(8 * number, bytes([number]) * 4096)
        await asyncio.sleep(0.01)

    with loopback_with(SharedCpus(1)) as loopback:
        loopback.run(scenario)
        for domain in (loopback.dom0, loopback.guest):
            last = loopback.loop.vcpus_of(domain).charged - ran(domain)  # what is not run yet
            assert 0 <= last <= US
            assert ran(domain) > 30 * US


def test_a_wake_up_that_is_lost_is_still_reported() -> None:
    async def scenario(frontend: Any) -> None:
        await asyncio.Event().wait()

    with loopback_with(SharedCpus(1)) as loopback:
        loopback.run(lambda frontend: frontend.read(0, 1))
        loopback.add_neighbour()
        with pytest.raises(NothingCanRun):
            loopback.run(scenario)
        loopback.run(lambda frontend: frontend.read(0, 1))


@pytest.mark.parametrize("mode", ["loop", "threads", "processes"])
def test_only_virtual_time_has_cpus(mode: str) -> None:
    with pytest.raises(UsageError, match=f"only mode deterministic has CPUs, not mode {mode}"):
        VbdLoopback(make_store, mode=mode, cpus=SharedCpus(1))


def test_without_cpus_there_are_no_neighbours() -> None:
    with (
        VbdLoopback(make_store, mode="deterministic") as loopback,
        pytest.raises(UsageError, match="no neighbours"),
    ):
        loopback.add_neighbour()
