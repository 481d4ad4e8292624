"""Both halves of a network benchmark: a machine, its guests, a backend, and what lies between."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from msgspec.structs import replace

from pvdrivers.ring.abi import Abi
from pvdrivers.tools.pvbench.job.bench_machine import bench_machine
from pvdrivers.tools.pvbench.job.run import BackHalf, FrontHalf
from pvdrivers.tools.pvbench.vnif import worker
from pvdrivers.tools.pvbench.vnif.back import Back
from pvdrivers.tools.pvbench.vnif.front import Front
from pvdrivers.tools.pvbench.vnif.guests import Guests
from pvdrivers.tools.pvbench.vnif.job import VnifJob
from pvdrivers.tools.pvbench.vnif.measurement import VnifMeasurement
from pvdrivers.tools.pvbench.vnif.xenbus import device_config

QUEUE_PAGES = 256 + 64  # of a queue in each direction: its buffers, its ring, and some to spare


def guest_memory(job: VnifJob) -> int:
    """Bytes a guest needs for its queues, in whole MiB."""
    needed = job.queues * QUEUE_PAGES * 2 * Abi(job.abi).page_size + (16 << 20)
    return -(-needed // (1 << 20)) << 20


@contextmanager
def open_halves(job: VnifJob, processes: bool) -> Iterator[tuple[FrontHalf, BackHalf]]:
    """Both halves on a machine of their own, each guest and the backend in a thread or a process.

    The backend goes first, so that the guests get all their grants back.
    """
    memory = guest_memory(job)
    guests = [replace(job, role=role) for role in job.roles]
    with ExitStack() as stack:
        module = worker.__name__ if processes else None
        bench = stack.enter_context(bench_machine(len(guests) * memory, module))
        fronts: list[FrontHalf] = []
        for guest in guests:
            domid = bench.add_guest(guest, memory)
            bench.xenstore.add(device_config(guest, domid, bench.backend))
            front = bench.front(Front, VnifMeasurement, domid, guest)
            fronts.append(stack.enter_context(closing(front)))
        back = stack.enter_context(closing(bench.back(Back, domid, job)))
        yield Guests(guests, fronts), back
