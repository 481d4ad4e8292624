"""Measures on this computer what it can of `pvdrivers/sim/cost_model.toml`, and prints it as TOML.

python benchmarks/costs.py
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from functools import partial
from statistics import median

from pvdrivers._core import ffi, lib
from pvdrivers.sim import Machine
from pvdrivers.sim.domain import Domain

ROUNDS = 9
VECTOR = 64  # grants of a call, which leave little of the call itself
COPY_SIZE = 64 << 20  # more than a cache


def rounds(call: Callable[[], object], count: int, repeat: int = 1) -> list[float]:
    """ns of several rounds; `count`: what a call does."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        for _ in range(repeat):
            call()
        times.append((time.perf_counter_ns() - start) / repeat / count)
    return times


def ns_each(call: Callable[[], object], count: int, repeat: int = 1) -> float:
    return median(rounds(call, count, repeat))


def calls_of_a_guest() -> dict[str, float]:
    """What a vcpu_op and a sched_op of the simulated machine do, less the way there from Python: a
    call that finds no domain."""
    with Machine(virtual_time=True, cpus=1) as machine:
        guest, cdata = machine.create_domain(), machine.cdata
        timers = [
            ffi.new("struct vcpu_set_singleshot_timer *", (ns, 0, 0)) for ns in (10**9, 10**8)
        ]

        def set_timers(domid: int) -> None:
            for timer in timers:
                lib.pv_vcpu_op_set_singleshot_timer(cdata, domid, 0, 0, timer)

        def yield_twice(domid: int) -> None:
            for _ in timers:
                lib.pv_sched_op_yield(cdata, domid, 0)

        def each(calls: Callable[[int], None]) -> float:
            """The fastest rounds, whose difference is not lost in what else the computer does."""
            with_domain, without = (
                min(min(rounds(partial(calls, domid), 2, 100)) for _ in range(100))
                for domid in (guest.domid, lib.DOMID_INVALID)
            )
            return with_domain - without

        return {"vcpu_op": each(set_timers), "sched_op": each(yield_twice)}


def byte_copied() -> float:
    source, target = ffi.new("uint8_t[]", COPY_SIZE), ffi.new("uint8_t[]", COPY_SIZE)
    return ns_each(lambda: ffi.memmove(target, source, COPY_SIZE), COPY_SIZE)


def grants(dom0: Domain, guest: Domain) -> dict[str, float]:
    """Of the simulated machine, which does what Xen does but for page tables and TLBs."""
    pages = guest.hypervisor.allocate_pages(VECTOR)
    refs = guest.hypervisor.grant_pages(dom0.domid, pages)
    ops, cdata = dom0.hypervisor.ops, dom0.hypervisor.cdata
    copies = ffi.new("struct pv_grant_copy[]", VECTOR)
    buffer = ffi.new("uint8_t[]", 1)
    for copy, ref in zip(copies, refs, strict=True):
        copy.source.ref, copy.source.domid, copy.dest.address = ref, guest.domid, buffer
        copy.len, copy.flags = 1, lib.GNTCOPY_source_gref
    maps, unmaps = [], []
    for _ in range(1000):
        start = time.perf_counter_ns()
        address = ops.gnttab_map_contiguous(cdata, guest.domid, refs, VECTOR, False)
        mapped = time.perf_counter_ns()
        ops.gnttab_unmap_contiguous(cdata, address, VECTOR)
        maps.append((mapped - start) / VECTOR)
        unmaps.append((time.perf_counter_ns() - mapped) / VECTOR)
    return {
        "grant_map": median(maps),
        "grant_unmap": median(unmaps),
        "grant_copy": ns_each(lambda: ops.gnttab_copy(cdata, copies, VECTOR), VECTOR, 1000),
    }


def _answer(incoming: int, outgoing: int) -> None:
    while os.read(incoming, 1) == b"x":
        os.write(outgoing, b"x")


def world_switch() -> float:
    """A byte that goes to and fro between two processes on one processor, less what the system
    calls take."""
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    ask, answer = os.pipe(), os.pipe()

    def there_and_back() -> None:
        os.write(ask[1], b"x")
        os.read(answer[0], 1)

    def alone() -> None:
        for pipe in (ask, answer):
            os.write(pipe[1], b"x")
            os.read(pipe[0], 1)

    calls = ns_each(alone, 2, 10_000)
    context = multiprocessing.get_context("fork")
    peer = context.Process(target=_answer, args=(ask[0], answer[1]))
    peer.start()
    both = ns_each(there_and_back, 2, 10_000)
    os.write(ask[1], b"q")
    peer.join()
    return both - calls


def main() -> None:
    with Machine() as machine:
        dom0, guest = machine.create_domain(privileged=True), machine.create_domain()
        costs = grants(dom0, guest) | {"byte_copied": byte_copied()} | calls_of_a_guest()
    for name, ns in (costs | {"world_switch": world_switch()}).items():
        print(f"{name} = {ns:.3g}")


if __name__ == "__main__":
    main()
