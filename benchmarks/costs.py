"""Measures on this computer what it can of `pvdrivers/sim/cost_model.toml`, and prints it as TOML.

python benchmarks/costs.py
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from statistics import median

from pvdrivers._core import ffi, lib
from pvdrivers.sim import Machine
from pvdrivers.sim.domain import Domain

ROUNDS = 9
VECTOR = 64  # grants of a call, which leave little of the call itself
COPY_SIZE = 64 << 20  # more than a cache


def ns_each(call: Callable[[], object], count: int, repeat: int = 1) -> float:
    """Median of several rounds; `count`: what a call does."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        for _ in range(repeat):
            call()
        times.append((time.perf_counter_ns() - start) / repeat / count)
    return median(times)


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
        costs = grants(dom0, guest) | {"byte_copied": byte_copied()}
    for name, ns in (costs | {"world_switch": world_switch()}).items():
        print(f"{name} = {ns:.3g}")


if __name__ == "__main__":
    main()
